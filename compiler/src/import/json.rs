//! JSON objects of outside files, read strictly: no key twice, no value of the wrong kind, no key left unread.

use std::{collections::BTreeMap, fmt};

use samp_ir::Diagnostic;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::error_code;

/// An object whose keys are taken one by one; [`Object::finish`] refuses what is left.
pub(super) struct Object<'a> {
    file: &'a str,
    /// The key that holds this object, with a dot at its end; empty for the whole file.
    prefix: String,
    entries: BTreeMap<String, Value>,
}

impl<'a> Object<'a> {
    pub(super) fn parse(bytes: &[u8], file: &'a str) -> Result<Object<'a>, Diagnostic> {
        let Strict(value) = serde_json::from_slice(bytes).map_err(|e| malformed(file, &e))?;
        match value {
            Value::Object(map) => {
                Ok(Object { file, prefix: String::new(), entries: map.into_iter().collect() })
            }
            other => Err(malformed(file, &format_args!("expected an object, found {}", shown(&other)))),
        }
    }

    /// The value of `key`, left where it is.
    pub(super) fn peek(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// Whether nothing is left in it.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys that were not taken, sorted.
    pub(super) fn keys(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// The value of `key`; none if the key is absent or null.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key).filter(|v| !v.is_null())
    }

    pub(super) fn integer(
        &mut self,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Diagnostic> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.as_u64() {
            Some(n) if range.contains(&n) => Ok(Some(n)),
            _ => {
                let expected = format!("an integer from {} to {}", range.start(), range.end());
                Err(self.wrong(key, &expected, &value))
            }
        }
    }

    /// A number for which `accepts` holds; `expected` says so in words.
    pub(super) fn number(
        &mut self,
        key: &str,
        expected: &str,
        accepts: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>, Diagnostic> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.as_f64() {
            Some(x) if x.is_finite() && accepts(x) => Ok(Some(x)),
            _ => Err(self.wrong(key, expected, &value)),
        }
    }

    /// So many numbers above `least` and up to `most`, which have to be there.
    pub(super) fn numbers(
        &mut self,
        key: &str,
        count: usize,
        (least, most): (f64, f64),
    ) -> Result<Vec<f64>, Diagnostic> {
        let expected = format!("a list of {count} numbers above {least} and up to {most:e}");
        let value = self.take(key).ok_or_else(|| self.missing(key, &expected))?;
        let number = |item: &Value| item.as_f64().filter(|x| *x > least && *x <= most);
        let numbers: Option<Vec<f64>> = value
            .as_array()
            .filter(|list| list.len() == count)
            .and_then(|list| list.iter().map(number).collect());
        numbers.ok_or_else(|| self.wrong(key, &expected, &value))
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, Diagnostic> {
        let Some(value) = self.take(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(key, "true or false", &value))
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Diagnostic> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "a string", &other)),
        }
    }

    /// The object under `key`, to be taken apart and finished in its turn.
    pub(super) fn object(&mut self, key: &str) -> Result<Option<Object<'a>>, Diagnostic> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Object {
                file: self.file,
                prefix: format!("{}{key}.", self.prefix),
                entries: map.into_iter().collect(),
            })),
            Some(other) => Err(self.wrong(key, "an object or null", &other)),
        }
    }

    pub(super) fn wrong(&self, key: &str, expected: &str, found: &Value) -> Diagnostic {
        let message = format!("`{}{key}`: expected {expected}, found {}", self.prefix, shown(found));
        Diagnostic::bad_input(error_code::CONFIG_VALUE, message).in_file(self.file)
    }

    /// The value is right for another model, but not one that samp compiles.
    pub(super) fn unsupported(&self, key: &str, expected: &str, found: &Value) -> Diagnostic {
        let message = format!("`{}{key}`: expected {expected}, found {}", self.prefix, shown(found));
        Diagnostic::unsupported(error_code::UNSUPPORTED, message).in_file(self.file)
    }

    pub(super) fn missing(&self, key: &str, expected: &str) -> Diagnostic {
        Diagnostic::bad_input(
            error_code::CONFIG_MISSING,
            format!("`{}{key}` is missing: expected {expected}", self.prefix),
        )
        .in_file(self.file)
    }

    /// Refuses every key that was not taken, is not among `ignorable`, and says something: null does not.
    pub(super) fn finish(self, ignorable: impl Fn(&str) -> bool) -> Result<(), Diagnostic> {
        let unread: Vec<String> = self
            .entries
            .iter()
            .filter(|(key, value)| !ignorable(key) && !value.is_null())
            .map(|(key, value)| format!("`{}{key}` = {}", self.prefix, shown(value)))
            .collect();
        if unread.is_empty() {
            return Ok(());
        }
        let message = format!("expected only keys that samp knows, found {}", unread.join(", "));
        Err(Diagnostic::unsupported(error_code::CONFIG_KEY, message).in_file(self.file).hint(
            "a key that samp does not know may change the mathematics; if it does not, remove it from the file",
        ))
    }
}

pub(super) fn malformed(file: &str, why: &dyn fmt::Display) -> Diagnostic {
    Diagnostic::bad_input(error_code::JSON, format!("expected a JSON object, found malformed text: {why}"))
        .in_file(file)
}

/// A warning that a key is missing and that transformers' default stands in.
pub(super) fn assumed(key: &str, value: impl fmt::Display) -> Diagnostic {
    let message = format!("`{key}` is missing: transformers' default of {value} is taken");
    Diagnostic::bad_input(error_code::ASSUMED, message).warning()
}

/// A value for a message, cut to a readable length.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("…".chars()).collect()
}

/// A JSON value in which no object holds a key twice. serde_json alone would keep the last one silently.
pub(super) struct Strict(pub(super) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key `{key}` appears twice")));
            }
            let Strict(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// A string-keyed map in which no key appears twice.
pub(super) struct UniqueMap<V>(pub(super) BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UniqueMap<V>, D::Error> {
        deserializer.deserialize_map(UniqueMapVisitor(std::marker::PhantomData))
    }
}

struct UniqueMapVisitor<V>(std::marker::PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueMapVisitor<V> {
    type Value = UniqueMap<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<UniqueMap<V>, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<String, V>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key `{key}` appears twice")));
            }
            map.insert(key, value);
        }
        Ok(UniqueMap(map))
    }
}
