//! JSON whose objects keep the order of their members: that of a schema is the order in which answers have them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A value of JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Ordered {
    /// Nothing, a truth value, a number or a string.
    Plain(Value),
    /// An array.
    Array(Vec<Ordered>),
    /// An object.
    Object(Vec<(String, Ordered)>),
}

impl Ordered {
    /// A member of an object, the last of its name.
    pub fn get(&self, name: &str) -> Option<&Ordered> {
        self.as_object()?.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// What lies at a path of names and numbers.
    pub fn at<'p>(&self, path: impl IntoIterator<Item = &'p str>) -> Option<&Ordered> {
        path.into_iter().try_fold(self, |value, name| match value {
            Ordered::Array(elements) => elements.get(name.parse::<usize>().ok()?),
            other => other.get(name),
        })
    }

    /// What a JSON pointer (RFC 6901) leads to.
    pub fn pointer(&self, pointer: &str) -> Option<&Ordered> {
        let names: Vec<String> =
            pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
        self.at(names.iter().map(String::as_str))
    }

    /// A string.
    pub fn as_str(&self) -> Option<&str> {
        if let Ordered::Plain(value) = self { value.as_str() } else { None }
    }

    /// A whole number from 0 on.
    pub fn as_u64(&self) -> Option<u64> {
        if let Ordered::Plain(value) = self { value.as_u64() } else { None }
    }

    /// A truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Ordered::Plain(value) = self { value.as_bool() } else { None }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Ordered]> {
        if let Ordered::Array(elements) = self { Some(elements) } else { None }
    }

    /// The members of an object.
    pub fn as_object(&self) -> Option<&[(String, Ordered)]> {
        if let Ordered::Object(members) = self { Some(members) } else { None }
    }
}

/// As JSON without white space.
impl fmt::Display for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ordered::Plain(value) => write!(f, "{value}"),
            Ordered::Array(elements) => {
                f.write_str("[")?;
                for (at, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if at > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Ordered::Object(members) => {
                f.write_str("{")?;
                for (at, (name, value)) in members.iter().enumerate() {
                    write!(f, "{}{}:{value}", if at > 0 { "," } else { "" }, Value::from(name.as_str()))?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Ordered, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Plain(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
        Ok(Ordered::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Ordered, E> {
        Ok(Ordered::Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Ordered, E> {
        Ok(Ordered::Plain(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Ordered, E> {
        Ok(Ordered::Plain(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Ordered, E> {
        Ok(Ordered::Plain(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Ordered, A::Error> {
        let mut array = vec![];
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Ordered::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Ordered, A::Error> {
        let mut object = vec![];
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Ordered::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order() {
        let text = r#"{"z":1,"a":[true,null,-2.5,"q\"uote"],"m":{"b/c":{}}}"#;
        let value: Ordered = serde_json::from_str(text).unwrap();
        assert_eq!(value.to_string(), text);
        assert_eq!(value.pointer("/a/3").and_then(Ordered::as_str), Some("q\"uote"));
        assert_eq!(value.pointer("/m/b~1c"), Some(&Ordered::Object(vec![])));
        assert_eq!(value.pointer("/none"), None);
    }
}
