//! JSON schemas as regular expressions: the part of the language in which a schema does not contain itself. What cannot be
//! kept is refused by its keyword, never passed over.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{json, ordered::Ordered, pattern};

/// How deep arrays and objects of which nothing is said may be nested.
const FREE_DEPTH: usize = 3;
/// How deep a schema may be.
const MAX_DEPTH: usize = 32;
/// Bytes of an expression.
const MAX_BYTES: usize = 4 << 20;

/// Keywords that say something to people alone.
const REMARKS: [&str; 13] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];

/// The expression of the texts that are values of `schema`, members in the order of the schema.
pub fn expression(schema: &Ordered) -> Result<String, String> {
    let expression = Translation { root: schema }.value(schema, 0)?;
    match expression.len() {
        0..=MAX_BYTES => Ok(expression),
        found => Err(format!("its expression has {found} bytes; expected at most {MAX_BYTES}")),
    }
}

struct Translation<'s> {
    root: &'s Ordered,
}

/// The keywords of a schema, and those of them that nobody has read yet.
struct Keywords<'s> {
    schema: &'s Ordered,
    left: BTreeSet<&'s str>,
}

impl<'s> Keywords<'s> {
    fn new(schema: &'s Ordered) -> Option<Keywords<'s>> {
        let names = schema.as_object()?.iter().map(|(name, _)| name.as_str());
        Some(Keywords { schema, left: names.filter(|name| !REMARKS.contains(name)).collect() })
    }

    fn take(&mut self, name: &str) -> Option<&'s Ordered> {
        self.left.remove(name);
        self.schema.get(name)
    }

    fn count(&mut self, name: &str) -> Result<Option<u64>, String> {
        let wrong = || format!("{name}: expected a whole number");
        self.take(name).map(|value| value.as_u64().ok_or_else(wrong)).transpose()
    }

    fn list(&mut self, name: &str) -> Result<Option<&'s [Ordered]>, String> {
        let wrong = || format!("{name}: expected an array that is not empty");
        let list = |value: &'s Ordered| value.as_array().filter(|list| !list.is_empty()).ok_or_else(wrong);
        self.take(name).map(list).transpose()
    }

    /// Refuses what is left.
    fn finish(self) -> Result<(), String> {
        match self.left.first() {
            Some(name) => Err(format!("{name}: not supported in a schema here")),
            None => Ok(()),
        }
    }
}

impl Translation<'_> {
    fn value(&self, schema: &Ordered, depth: usize) -> Result<String, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} deep, or contains itself"));
        }
        if schema.as_bool() == Some(true) {
            return Ok(json::value(FREE_DEPTH));
        }
        let mut keywords = Keywords::new(schema).ok_or("expected an object for each schema")?;
        let expression = self.keywords(&mut keywords, depth)?;
        keywords.finish()?;
        Ok(expression)
    }

    fn keywords(&self, keywords: &mut Keywords<'_>, depth: usize) -> Result<String, String> {
        if let Some(reference) = keywords.take("$ref") {
            return self.value(self.referred(reference)?, depth + 1);
        }
        if let Some(constant) = keywords.take("const") {
            keywords.take("type");
            return Ok(json::literal(constant));
        }
        if let Some(values) = keywords.list("enum")? {
            keywords.take("type");
            return Ok(any_of(values.iter().map(json::literal)));
        }
        for name in ["anyOf", "oneOf"] {
            if let Some(schemas) = keywords.list(name)? {
                let values = schemas.iter().map(|schema| self.value(schema, depth + 1));
                return Ok(any_of(values.collect::<Result<Vec<_>, _>>()?));
            }
        }
        match keywords.take("type") {
            Some(Ordered::Plain(Value::String(kind))) => self.kind(kind, keywords, depth),
            Some(Ordered::Array(kinds)) => {
                let kind = |kind: &Ordered| {
                    let name = kind.as_str().ok_or("type: expected names")?;
                    self.kind(name, keywords, depth)
                };
                Ok(any_of(kinds.iter().map(kind).collect::<Result<Vec<_>, String>>()?))
            }
            Some(_) => Err("type: expected a name or an array of names".into()),
            None if keywords.left.contains("properties") => self.object(keywords, depth),
            None => Ok(json::value(FREE_DEPTH)),
        }
    }

    fn kind(&self, kind: &str, keywords: &mut Keywords<'_>, depth: usize) -> Result<String, String> {
        match kind {
            "object" => self.object(keywords, depth),
            "array" => self.array(keywords, depth),
            "string" => string(keywords),
            "integer" => Ok(json::INTEGER.into()),
            "number" => Ok(json::NUMBER.into()),
            "boolean" => Ok(json::BOOLEAN.into()),
            "null" => Ok(json::NULL.into()),
            other => Err(format!("type: expected a type of JSON, found {other:?}")),
        }
    }

    fn array(&self, keywords: &mut Keywords<'_>, depth: usize) -> Result<String, String> {
        let (least, most) = (keywords.count("minItems")?.unwrap_or(0), keywords.count("maxItems")?);
        if most.is_some_and(|most| most < least) {
            return Err("maxItems: expected at least minItems".into());
        }
        let element = match keywords.take("items") {
            Some(items) => self.value(items, depth + 1)?,
            None => json::value(FREE_DEPTH - 1),
        };
        Ok(json::array(&element, least, most))
    }

    /// The declared members in their order; those that are not required may be missing. Others never come, which
    /// `additionalProperties` allows but does not ask for.
    fn object(&self, keywords: &mut Keywords<'_>, depth: usize) -> Result<String, String> {
        let additional = keywords.take("additionalProperties");
        let required: Vec<&str> = match keywords.take("required").map(Ordered::as_array) {
            None => vec![],
            Some(names) => {
                names.ok_or("required: expected an array")?.iter().filter_map(Ordered::as_str).collect()
            }
        };
        let Some(properties) = keywords.take("properties") else {
            if !required.is_empty() {
                return Err("required: expected names of properties".into());
            }
            return match additional {
                Some(schema) if schema.as_bool() == Some(false) => Ok(format!(r"\{{{}\}}", json::SPACE)),
                Some(schema) if schema.as_bool().is_none() => {
                    Ok(json::object(&self.value(schema, depth + 1)?))
                }
                _ => Ok(json::object(&json::value(FREE_DEPTH - 1))),
            };
        };
        let properties = properties.as_object().ok_or("properties: expected an object")?;
        let declared = |name: &str| properties.iter().any(|(found, _)| found == name);
        if let Some(name) = required.iter().find(|name| !declared(name)) {
            return Err(format!("required: {name:?} is not among the properties"));
        }
        let mut members = vec![];
        for (name, schema) in properties {
            let value = self.value(schema, depth + 1).map_err(|error| format!("{name}.{error}"))?;
            let name_text = json::literal(&Value::from(name.as_str()));
            let member = format!("{name_text}{0}:{0}{value}", json::SPACE);
            members.push((member, required.contains(&name.as_str())));
        }
        Ok(format!(r"\{{{0}{1}{0}\}}", json::SPACE, sequence(&members)))
    }

    fn referred(&self, reference: &Ordered) -> Result<&Ordered, String> {
        let path = reference.as_str().and_then(|text| text.strip_prefix('#'));
        let found = path.and_then(|path| self.root.pointer(path));
        found.ok_or_else(|| {
            format!("$ref: expected a place in the schema such as #/$defs/name, found {reference}")
        })
    }
}

fn string(keywords: &mut Keywords<'_>) -> Result<String, String> {
    let (least, most) = (keywords.count("minLength")?, keywords.count("maxLength")?);
    match (keywords.take("pattern"), keywords.take("format"), least.or(most)) {
        (None, None, _) => Ok(json::string(least.unwrap_or(0), most)),
        (Some(Ordered::Plain(Value::String(text))), None, None) => {
            pattern::string(text).map_err(|found| format!("pattern: cannot be kept: {found}"))
        }
        (None, Some(Ordered::Plain(Value::String(name))), None) => format(name),
        _ => Err("pattern: expected one of pattern, format and lengths, each with a text or a number".into()),
    }
}

/// Strings of a known format.
fn format(name: &str) -> Result<String, String> {
    let date = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])";
    let time = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
    let inside = match name {
        "date" => date.to_owned(),
        "time" => time.to_owned(),
        "date-time" => format!("{date}T{time}"),
        "uuid" => "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}".to_owned(),
        "email" => r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}".to_owned(),
        other => return Err(format!("format: {other:?} is not known; use pattern")),
    };
    Ok(format!("\"{inside}\""))
}

/// Members in their order with commas between them, where those that are not required may be missing.
fn sequence(members: &[(String, bool)]) -> String {
    let comma = format!("{0},{0}", json::SPACE);
    // What may follow once a member stands before it.
    let rest = |members: &[(String, bool)]| -> String {
        let each = members.iter().map(|(member, required)| {
            let mark = if *required { "" } else { "?" };
            format!("(?:{comma}{member}){mark}")
        });
        each.collect()
    };
    // The first that is there: any up to the first that must be.
    let must = members.iter().position(|(_, required)| *required);
    let firsts = 0..must.map_or(members.len(), |must| must + 1);
    let begun = firsts.map(|first| format!("{}{}", members[first].0, rest(&members[first + 1..])));
    let begun = any_of(begun);
    if must.is_some() || members.is_empty() { begun } else { format!("{begun}?") }
}

fn any_of(expressions: impl IntoIterator<Item = String>) -> String {
    format!("(?:{})", expressions.into_iter().collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ordered(schema: &Value) -> Ordered {
        serde_json::from_str(&schema.to_string()).unwrap()
    }

    /// Whether each text is a value of the schema.
    fn takes(schema: Value, texts: &[&str]) -> Vec<bool> {
        let expression = format!("^(?:{})$", expression(&ordered(&schema)).unwrap());
        let regex = regex_automata::meta::Regex::new(&expression).unwrap();
        texts.iter().map(|text| regex.is_match(*text)).collect()
    }

    #[test]
    fn members_come_in_their_order_and_only_required_ones_must() {
        let schema = json!({
            "type": "object", "required": ["b"], "additionalProperties": false,
            "properties": { "a": {"type": "integer"}, "b": {"type": "boolean"}, "c": {"enum": ["x", 1, null]} },
        });
        let found = takes(
            schema,
            &[
                r#"{"b":true}"#,
                r#"{ "a": 1, "b": false, "c": "x" }"#,
                r#"{"b":true,"c":null}"#,
                r#"{"a":1}"#,
                r#"{"b":true,}"#,
                r#"{"c":1,"b":true}"#,
                r#"{"a":1.5,"b":true}"#,
                r#"{"b":true,"d":1}"#,
            ],
        );
        assert_eq!(found, [true, true, true, false, false, false, false, false]);
        let free = json!({ "properties": { "a": {"type": "null"}, "b": {"type": "null"} } });
        let found = takes(
            free,
            &["{}", r#"{"a":null}"#, r#"{"b":null}"#, r#"{"a":null,"b":null}"#, r#"{"b":null,"a":null}"#],
        );
        assert_eq!(found, [true, true, true, true, false]);
    }

    #[test]
    fn members_keep_the_order_that_they_are_declared_in() {
        let text = r#"{"type": "object", "required": ["z", "a"], "properties": {"z": {"const": 1}, "a": {"const": 2}}}"#;
        let expression = format!("^(?:{})$", expression(&serde_json::from_str(text).unwrap()).unwrap());
        let regex = regex_automata::meta::Regex::new(&expression).unwrap();
        assert!(regex.is_match(r#"{"z":1,"a":2}"#) && !regex.is_match(r#"{"a":2,"z":1}"#));
    }

    #[test]
    fn strings_arrays_and_choices() {
        let strings = json!({ "type": "string", "minLength": 2, "maxLength": 3 });
        assert_eq!(
            takes(strings, &[r#""ab""#, r#""a\n\u00e9""#, r#""a""#, r#""abcd""#, "\"a\nb\""]),
            [true, true, false, false, false]
        );
        let array = json!({ "type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 2 });
        assert_eq!(
            takes(array, &["[1]", "[1, -2.5e3]", "[]", "[1,2,3]", "[01]"]),
            [true, true, false, false, false]
        );
        let either = json!({ "anyOf": [{"type": ["integer", "null"]}, {"$ref": "#/$defs/day"}],
            "$defs": { "day": {"type": "string", "format": "date"} } });
        assert_eq!(
            takes(either, &["7", "null", r#""2026-11-30""#, r#""2026-13-30""#]),
            [true, true, true, false]
        );
        let free = json!({ "type": "object" });
        assert_eq!(takes(free, &[r#"{"a": [{"b": 1}], "c": {}}"#, "{}", "[]"]), [true, true, false]);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_its_keyword() {
        for (schema, keyword) in [
            (json!({ "type": "integer", "minimum": 3 }), "minimum"),
            (json!({ "not": {} }), "not"),
            (json!({ "type": "object", "patternProperties": {} }), "patternProperties"),
            (json!({ "type": "object", "properties": {"a": {"if": {}}} }), "a.if"),
            (json!({ "$ref": "https://example.org" }), "$ref"),
            (
                json!({ "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}, "$ref": "#/$defs/n" }),
                "it is nested",
            ),
            (json!({ "type": "thing" }), "type"),
            (json!({ "type": "object", "required": ["a"], "properties": {} }), "required"),
            (json!({ "type": "string", "format": "hostname" }), "format"),
        ] {
            let refused = expression(&ordered(&schema)).unwrap_err();
            assert!(refused.starts_with(keyword), "{schema}: {refused}");
        }
    }
}
