//! The filter `tojson`: JSON as Python's `json.dumps` writes it, with the options that transformers gives templates.

use std::fmt::Write;

use minijinja::{
    Error, ErrorKind, Value,
    value::{Kwargs, Rest, ValueKind, ValueOrKwargs, from_args},
};

/// Spaces that an indentation may have.
const MAX_INDENT: usize = 16;

/// The filter; options are positional or by name, as in Python.
pub(super) fn tojson(value: &Value, options: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    type Options = (Option<bool>, Option<Value>, Option<Value>, Option<bool>, Kwargs);
    let (ensure_ascii, indent, separators, sort_keys, kwargs): Options = from_args(&options.into_values())?;
    let indent = indent.map_or_else(|| kwargs.get::<Option<Value>>("indent"), |given| Ok(Some(given)))?;
    let separators =
        separators.map_or_else(|| kwargs.get::<Option<Value>>("separators"), |given| Ok(Some(given)))?;
    let flag = |given: Option<bool>, name: &str| match given {
        Some(given) => Ok(given),
        None => kwargs.get::<Option<bool>>(name).map(Option::unwrap_or_default),
    };
    let indent = indent.filter(|indent| !indent.is_none()).map(|indent| indentation(&indent)).transpose()?;
    let [item, key] = match separators.filter(|given| !given.is_none()) {
        Some(given) => [text(&given.get_item_by_index(0)?)?, text(&given.get_item_by_index(1)?)?],
        None if indent.is_some() => [",", ": "].map(str::to_owned),
        None => [", ", ": "].map(str::to_owned),
    };
    let ensure_ascii = flag(ensure_ascii, "ensure_ascii")?;
    let sort_keys = flag(sort_keys, "sort_keys")?;
    kwargs.assert_all_used()?;
    let mut writer = Writer { out: String::new(), indent, item, key, ensure_ascii, sort_keys };
    writer.value(value, 0)?;
    Ok(Value::from_safe_string(writer.out))
}

/// One level of indentation: so many spaces, or a text as it is.
fn indentation(indent: &Value) -> Result<String, Error> {
    match indent.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => {
            let width = indent.as_i64().ok_or_else(|| refused("indent: expected a number or a string"))?;
            Ok(" ".repeat((width.max(0) as usize).min(MAX_INDENT)))
        }
    }
}

/// A number as Python's `repr` writes it: its shortest digits, with an exponent below 1e-4 and from 1e16 on.
fn float(number: f64) -> String {
    if !number.is_finite() {
        let name = if number.is_nan() { "NaN" } else { "Infinity" };
        return format!("{}{name}", if number < 0.0 { "-" } else { "" });
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse().unwrap_or(0) {
        -4..16 => {
            let plain = format!("{number}");
            if plain.contains('.') { plain } else { format!("{plain}.0") }
        }
        exponent => format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, i32::abs(exponent)),
    }
}

fn text(value: &Value) -> Result<String, Error> {
    value.as_str().map(str::to_owned).ok_or_else(|| refused("separators: expected two strings"))
}

fn refused(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.to_owned())
}

struct Writer {
    out: String,
    /// A level of indentation; without one everything stands on one line.
    indent: Option<String>,
    item: String,
    key: String,
    ensure_ascii: bool,
    sort_keys: bool,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.map(value, depth)?,
            other => return Err(refused(&format!("tojson: {other} is no JSON"))),
        }
        Ok(())
    }

    /// What Python calls a number and JSON does not stays as Python writes it.
    fn number(&mut self, value: &Value) {
        match f64::try_from(value.clone()) {
            Ok(number) if !value.is_integer() => self.out.push_str(&float(number)),
            // Writing to a String does not fail.
            _ => drop(write!(self.out, "{value}")),
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || self.ensure_ascii && c > '~' => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a String does not fail.
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn list(&mut self, list: &Value, depth: usize) -> Result<(), Error> {
        self.out.push('[');
        let mut count = 0;
        for item in list.try_iter()?.checked() {
            self.begin_item(count, depth);
            self.value(&item?, depth + 1)?;
            count += 1;
        }
        self.end(count, depth, ']');
        Ok(())
    }

    fn map(&mut self, map: &Value, depth: usize) -> Result<(), Error> {
        let mut keys: Vec<Value> = map.try_iter()?.checked().collect::<Result<_, _>>()?;
        if self.sort_keys {
            keys.sort();
        }
        self.out.push('{');
        for (count, key) in keys.iter().enumerate() {
            self.begin_item(count, depth);
            match key.kind() {
                ValueKind::String => self.string(key.as_str().unwrap_or_default()),
                // Python makes strings of the keys that JSON has as values.
                ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                    self.out.push('"');
                    self.value(key, depth + 1)?;
                    self.out.push('"');
                }
                other => return Err(refused(&format!("tojson: {other} is no key"))),
            }
            self.out.push_str(&self.key.clone());
            self.value(&map.get_item(key)?, depth + 1)?;
        }
        self.end(keys.len(), depth, '}');
        Ok(())
    }

    fn begin_item(&mut self, before: usize, depth: usize) {
        if before > 0 {
            self.out.push_str(&self.item.clone());
        }
        self.new_line(depth + 1);
    }

    fn end(&mut self, items: usize, depth: usize, bracket: char) {
        if items > 0 {
            self.new_line(depth);
        }
        self.out.push(bracket);
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            self.out.push_str(&indent.repeat(depth));
        }
    }
}
