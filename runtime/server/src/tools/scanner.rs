//! One call, an object with a name and arguments, read character by character.

/// How far the call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More is to come.
    Open,
    /// That was its last character.
    Done,
    /// It is no call.
    Broken,
}

/// Where in the object the next character stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    BeforeKey,
    Key,
    Colon,
    BeforeValue,
    Value,
    AfterValue,
}

/// What a member of a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Name,
    Arguments,
    /// `type` and `id` say nothing that a client needs.
    Remark,
}

/// A call as far as it has come.
pub struct CallScanner {
    place: Place,
    member: Member,
    /// The key or the value at hand, as it is written.
    text: String,
    /// The brackets that are open in the value at hand, by what closes them.
    open: Vec<char>,
    in_string: bool,
    escaped: bool,
    name: Option<String>,
    has_arguments: bool,
    /// Arguments that nobody has taken yet.
    arguments: String,
    /// Whether the arguments stand alone, behind a name.
    bare: bool,
}

impl CallScanner {
    /// Of a call whose first character is its brace.
    pub fn new() -> CallScanner {
        CallScanner {
            place: Place::Start,
            member: Member::Remark,
            text: String::new(),
            open: vec![],
            in_string: false,
            escaped: false,
            name: None,
            has_arguments: false,
            arguments: String::new(),
            bare: false,
        }
    }

    /// Of the arguments of a call whose name is known.
    pub fn of_arguments(name: String) -> CallScanner {
        let (place, member) = (Place::BeforeValue, Member::Arguments);
        CallScanner { place, member, name: Some(name), bare: true, ..CallScanner::new() }
    }

    /// The tool that is called, once that is known.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether arguments have begun.
    pub fn has_arguments(&self) -> bool {
        self.has_arguments
    }

    /// What has come of the arguments since they were last taken, if they are `wanted` yet.
    pub fn take_arguments_if(&mut self, wanted: bool) -> Option<String> {
        let some = wanted && !self.arguments.is_empty();
        some.then(|| std::mem::take(&mut self.arguments))
    }

    /// The next character.
    pub fn push(&mut self, c: char) -> Progress {
        match (self.place, c) {
            (Place::Key, c) => self.key(c),
            (Place::Value, c) => self.value(c),
            (_, c) if c.is_whitespace() => Progress::Open,
            (Place::Start, '{') => self.go(Place::BeforeKey),
            (Place::BeforeKey, '"') => {
                self.begin('"');
                self.go(Place::Key)
            }
            (Place::Colon, ':') => self.go(Place::BeforeValue),
            (Place::BeforeValue, c) => self.first_of_value(c),
            (Place::AfterValue, ',') => self.go(Place::BeforeKey),
            (Place::AfterValue, '}') => self.end(),
            _ => Progress::Broken,
        }
    }

    fn go(&mut self, place: Place) -> Progress {
        self.place = place;
        Progress::Open
    }

    fn begin(&mut self, first: char) {
        self.text.clear();
        self.text.push(first);
        self.in_string = first == '"';
    }

    fn end(&mut self) -> Progress {
        if self.name.is_none() {
            return Progress::Broken;
        }
        if !self.has_arguments {
            self.has_arguments = true;
            self.arguments.push_str("{}");
        }
        Progress::Done
    }

    /// Whether a character of a string ends it.
    fn ends_string(&mut self, c: char) -> bool {
        let ends = c == '"' && !self.escaped;
        self.escaped = c == '\\' && !self.escaped;
        self.in_string &= !ends;
        ends
    }

    fn key(&mut self, c: char) -> Progress {
        self.text.push(c);
        if !self.ends_string(c) {
            return Progress::Open;
        }
        self.member = match self.text.as_str() {
            "\"name\"" if self.name.is_none() => Member::Name,
            "\"arguments\"" | "\"parameters\"" if !self.has_arguments => Member::Arguments,
            "\"type\"" | "\"id\"" => Member::Remark,
            _ => return Progress::Broken,
        };
        self.go(Place::Colon)
    }

    fn first_of_value(&mut self, c: char) -> Progress {
        match (self.member, c) {
            (Member::Arguments, '{') => {
                self.has_arguments = true;
                self.arguments.push(c);
                self.open.push('}');
            }
            (Member::Name | Member::Remark, '"') => self.begin(c),
            _ => return Progress::Broken,
        }
        self.go(Place::Value)
    }

    fn value(&mut self, c: char) -> Progress {
        if self.member == Member::Arguments {
            return self.argument(c);
        }
        self.text.push(c);
        if !self.ends_string(c) {
            return Progress::Open;
        }
        if self.member == Member::Name {
            let Ok(name) = serde_json::from_str(&self.text) else { return Progress::Broken };
            self.name = Some(name);
        }
        self.go(Place::AfterValue)
    }

    fn argument(&mut self, c: char) -> Progress {
        self.arguments.push(c);
        if self.in_string {
            self.ends_string(c);
            return Progress::Open;
        }
        match c {
            '"' => self.in_string = true,
            '{' => self.open.push('}'),
            '[' => self.open.push(']'),
            '}' | ']' if self.open.pop() != Some(c) => return Progress::Broken,
            _ => {}
        }
        match (self.open.is_empty(), self.bare) {
            (false, _) => Progress::Open,
            (true, true) => Progress::Done,
            (true, false) => self.go(Place::AfterValue),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> (Progress, Option<String>, String) {
        let mut scanner = CallScanner::new();
        let mut progress = Progress::Open;
        for c in text.chars() {
            assert_eq!(progress, Progress::Open, "{text}");
            progress = scanner.push(c);
        }
        (progress, scanner.name().map(str::to_owned), scanner.take_arguments_if(true).unwrap_or_default())
    }

    #[test]
    fn members_come_in_any_order_and_arguments_keep_their_spelling() {
        for (text, name, arguments) in [
            (r#"{"name": "f", "arguments": {"a": [1, "}\"]"]}}"#, "f", r#"{"a": [1, "}\"]"]}"#),
            (r#"{"type":"function","parameters" : { },"name":"g\u0041"}"#, "gA", "{ }"),
            (r#"{ "name": "h" }"#, "h", "{}"),
        ] {
            assert_eq!(scan(text), (Progress::Done, Some(name.into()), arguments.into()), "{text}");
        }
    }

    #[test]
    fn what_is_no_call_breaks_off() {
        for text in [
            "{}",
            r#"{"temperature""#,
            r#"{"name": 1"#,
            r#"{"name": "f", "arguments": ""#,
            r#"{"name": "f", "arguments": {]"#,
            r#"{"name": "f" ""#,
            r#"{"name": "f", "name""#,
            r#"{"name": "\q""#,
            r#"{"arguments": {}}"#,
        ] {
            assert_eq!(scan(text).0, Progress::Broken, "{text}");
        }
    }
}
