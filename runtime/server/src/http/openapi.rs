//! The pages' own description, as OpenAPI 3.1 has it.

use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("openapi.json");

/// The document, with the version of the server.
pub fn document() -> Value {
    // A test reads it: it is JSON.
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    document
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::{ChatRequest, CompletionRequest, asked_fields};

    /// The members that a schema declares, of those that it consists of too.
    fn declared(document: &Value, name: &str) -> BTreeSet<String> {
        let schema = &document["components"]["schemas"][name];
        let own = schema["properties"].as_object().unwrap().keys().cloned();
        let parts = schema["allOf"].as_array().into_iter().flatten();
        let parts = parts.map(|part| part["$ref"].as_str().unwrap().rsplit('/').next().unwrap());
        own.chain(parts.flat_map(|part| declared(document, part))).collect()
    }

    #[test]
    fn every_field_that_is_read_is_declared_and_no_other() {
        let document = document();
        let chat = br#"{"messages": [{"role": "user", "content": "a"}]}"#;
        let read = asked_fields(|| drop(ChatRequest::parse(chat).unwrap()));
        assert_eq!(declared(&document, "ChatCompletionRequest"), read);
        let read = asked_fields(|| drop(CompletionRequest::parse(br#"{"prompt": "a"}"#).unwrap()));
        assert_eq!(declared(&document, "CompletionRequest"), read);
    }
}
