//! The fields of a body: each is read, known to change nothing, or refused by name.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::error::{ApiError, ErrorKind};

/// The fields that nobody has asked for yet.
pub struct Fields {
    left: Map<String, Value>,
    /// What is asked for of a body, where a test wants to know.
    #[cfg(test)]
    is_body: bool,
}

impl Fields {
    /// Reads a body, which must be a JSON object.
    pub fn parse(body: &[u8]) -> Result<Fields, ApiError> {
        let refused = |reason: String| ApiError::new(ErrorKind::Invalid, format!("the body: {reason}"));
        match serde_json::from_slice(body) {
            Ok(Value::Object(left)) => Ok(Fields {
                left,
                #[cfg(test)]
                is_body: true,
            }),
            Ok(other) => Err(refused(format!("expected a JSON object, found {}", kind(&other)))),
            Err(error) => Err(refused(format!("expected JSON, found something else: {error}"))),
        }
    }

    /// The fields of an object.
    pub fn of(left: Map<String, Value>) -> Fields {
        Fields {
            left,
            #[cfg(test)]
            is_body: false,
        }
    }

    /// A field; `null` counts as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        #[cfg(test)]
        if self.is_body {
            tests::ASKED.with_borrow_mut(|asked| asked.insert(name.to_owned()));
        }
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn read<T>(
        &mut self,
        name: &str,
        expected: impl std::fmt::Display,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let wrong = || ApiError::field(name, format!("expected {expected}, found {}", short(&value)));
        read(&value).map(Some).ok_or_else(wrong)
    }

    /// A number within bounds.
    pub fn number(&mut self, name: &str, within: RangeInclusive<f64>) -> Result<Option<f32>, ApiError> {
        let expected = format!("a number from {} to {}", within.start(), within.end());
        self.read(name, expected, |value| value.as_f64().filter(|x| within.contains(x)).map(|x| x as f32))
    }

    /// A whole number within bounds. One with a fraction of zero counts, as some clients write them.
    pub fn count(&mut self, name: &str, within: RangeInclusive<u64>) -> Result<Option<usize>, ApiError> {
        let expected = match *within.end() {
            u64::MAX => format!("a whole number from {} on", within.start()),
            end => format!("a whole number from {} to {end}", within.start()),
        };
        let whole = |value: &Value| {
            let float =
                || value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..1e15).contains(x)).map(|x| x as u64);
            value.as_u64().or_else(float)
        };
        self.read(name, expected, |value| whole(value).filter(|x| within.contains(x)).map(|x| x as usize))
    }

    /// Any whole number of 64 bits, as its bits.
    pub fn seed(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        let read = |value: &Value| value.as_u64().or_else(|| value.as_i64().map(|seed| seed as u64));
        self.read(name, "a whole number of 64 bits", read)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        self.read(name, "true or false", Value::as_bool)
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        self.read(name, "a text", |value| value.as_str().map(str::to_owned))
    }

    /// A text, or an array of at most so many.
    pub fn texts(&mut self, name: &str, most: usize) -> Result<Vec<String>, ApiError> {
        let read = |value: &Value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(texts) if texts.len() <= most => {
                texts.iter().map(|text| text.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        let expected = format!("a text or an array of at most {most}");
        Ok(self.read(name, expected, read)?.unwrap_or_default())
    }

    /// An array of token ids.
    pub fn tokens(&mut self, name: &str) -> Result<Option<Vec<u32>>, ApiError> {
        self.read(name, "an array of token ids", token_ids)
    }

    /// An object.
    pub fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, ApiError> {
        self.read(name, "an object", |value| value.as_object().cloned())
    }

    /// Lets go of fields that change no answer.
    pub fn ignore(&mut self, names: &[&str]) {
        names.iter().for_each(|name| drop(self.take(name)));
    }

    /// Lets go of a field where its value asks for nothing; refuses it otherwise.
    pub fn neutral(&mut self, name: &str, asks_nothing: impl FnOnce(&Value) -> bool) -> Result<(), ApiError> {
        match self.take(name) {
            Some(value) if !asks_nothing(&value) => {
                let message = format!("{} is not supported by this server; leave it out", short(&value));
                Err(ApiError::field(name, message).with_code("unsupported_value"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses the fields that are left, by name.
    pub fn finish(self) -> Result<(), ApiError> {
        let names: Vec<&str> =
            self.left.iter().filter(|(_, v)| !v.is_null()).map(|(name, _)| name.as_str()).collect();
        let Some(first) = names.first() else { return Ok(()) };
        let listed = names.join(", ");
        let (verb, them) = if names.len() == 1 { ("is", "it") } else { ("are", "them") };
        let error = ApiError::field(first, "");
        let message = format!("{listed} {verb} not supported by this server; leave {them} out");
        Err(ApiError { message, ..error }.with_code("unsupported_parameter"))
    }
}

/// The token ids of an array.
pub(super) fn token_ids(value: &Value) -> Option<Vec<u32>> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    value.as_array()?.iter().map(id).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value as a message shows it: numbers and truth values whole, and of others what they are, since they may be long and
/// private.
fn short(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.len() <= 32 => value.to_string(),
        _ => kind(value).into(),
    }
}

/// The fields of bodies that `work` asks for.
#[cfg(test)]
pub(crate) fn asked_fields(work: impl FnOnce()) -> std::collections::BTreeSet<String> {
    tests::ASKED.take();
    work();
    tests::ASKED.take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    thread_local! {
        pub(super) static ASKED: std::cell::RefCell<std::collections::BTreeSet<String>> = Default::default();
    }

    fn fields(value: Value) -> Fields {
        Fields::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_name() {
        let mut given =
            fields(json!({ "temperature": 3, "n": 1.5, "stream": "yes", "stop": [1], "top_p": null }));
        let said = |error: ApiError| (error.param.unwrap(), error.message);
        assert_eq!(
            said(given.number("temperature", 0.0..=2.0).unwrap_err()),
            ("temperature".into(), "temperature: expected a number from 0 to 2, found 3".into())
        );
        assert_eq!(
            said(given.count("n", 1..=8).unwrap_err()).1,
            "n: expected a whole number from 1 to 8, found 1.5"
        );
        assert_eq!(
            said(given.flag("stream").unwrap_err()).1,
            "stream: expected true or false, found \"yes\""
        );
        assert!(given.texts("stop", 4).is_err());
        assert_eq!(given.number("top_p", 0.0..=1.0), Ok(None));
        given.finish().unwrap();
    }

    #[test]
    fn fields_that_nobody_reads_are_refused_by_name() {
        let mut given =
            fields(json!({ "user": "x", "tools": [], "audio": {}, "prediction": {}, "gone": null }));
        given.ignore(&["user"]);
        given.neutral("tools", |tools| tools.as_array().is_some_and(Vec::is_empty)).unwrap();
        let refused = given.finish().unwrap_err();
        assert_eq!(refused.message, "audio, prediction are not supported by this server; leave them out");
        assert_eq!((refused.param.as_deref(), refused.code), (Some("audio"), Some("unsupported_parameter")));
    }

    #[test]
    fn bodies_that_are_no_objects_are_refused() {
        for body in ["", "[1]", "{\"a\":", "nonsense", "\"text\""] {
            let refused = Fields::parse(body.as_bytes()).err().expect(body);
            assert_eq!((refused.kind, refused.message.starts_with("the body: ")), (ErrorKind::Invalid, true));
        }
    }

    #[test]
    fn seeds_and_counts_are_taken_as_clients_write_them() {
        let mut given = fields(json!({ "a": -1, "b": u64::MAX, "c": 16.0 }));
        assert_eq!(given.seed("a"), Ok(Some(u64::MAX)));
        assert_eq!(given.seed("b"), Ok(Some(u64::MAX)));
        assert_eq!(given.count("c", 0..=u64::MAX), Ok(Some(16)));
    }
}
