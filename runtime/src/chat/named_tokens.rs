//! The named special tokens that a tokenizer's files give templates: `bos_token` and its like.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// File of named special tokens, which versions before 5 of transformers write beside the settings.
pub(super) const SPECIAL_TOKENS_FILE: &str = "special_tokens_map.json";

/// Named tokens by their names, as transformers reads them: those of the settings, and those of `special_tokens_map.json`
/// before them unless the settings list every added token themselves.
pub(super) fn named_tokens(
    settings: &Map<String, Value>,
    map: &Map<String, Value>,
) -> BTreeMap<String, String> {
    let is_whole = settings.contains_key("added_tokens_decoder");
    let mut named = BTreeMap::new();
    for source in [Some(settings), (!is_whole).then_some(map)].into_iter().flatten() {
        let own = source.iter().filter(|(name, _)| name.ends_with("_token"));
        let extra = source.get("extra_special_tokens").and_then(Value::as_object).into_iter().flatten();
        for (name, value) in own.chain(extra) {
            if let Some(text) = token_text(value) {
                named.insert(name.clone(), text.to_owned());
            }
        }
    }
    named
}

/// A token as a string, or as an object with its content.
fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_come_from_the_settings_and_from_the_map() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let map = object(
            json!({"bos_token": {"content": "<s>", "lstrip": true}, "eos_token": "</s>", "pad_token": null}),
        );
        let settings =
            object(json!({"eos_token": "<end>", "unk_token": {"content": "?"}, "model_max_length": 7}));
        let found = named_tokens(&settings, &map);
        let pairs: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(pairs, [("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "?")]);
        let mut whole = settings;
        whole.insert("added_tokens_decoder".into(), json!({}));
        whole.insert("extra_special_tokens".into(), json!({"image_token": "<image>"}));
        let found = named_tokens(&whole, &map);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["eos_token", "image_token", "unk_token"]);
        assert_eq!(found["eos_token"], "<end>");
    }
}
