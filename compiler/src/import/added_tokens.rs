//! Added tokens that other files than `tokenizer.json` name: transformers gives them to the tokenizer as it is loaded, so the
//! plan's tokenizer has them as well.

use std::collections::{BTreeMap, BTreeSet};

use samp_ir::Diagnostic;
use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use super::json::shown;
use crate::error_code;

/// Named tokens in the order in which transformers adds them.
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Lists of further tokens, under the name of today and the one before.
const FURTHER: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];
/// So many tokens are named in a warning.
const SHOWN: usize = 8;

/// The files about tokens, as objects; empty where there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenFiles {
    /// `tokenizer.json`.
    pub(super) tokenizer: Map<String, Value>,
    /// `tokenizer_config.json`.
    pub(super) settings: Map<String, Value>,
    /// `special_tokens_map.json`.
    pub(super) named: Map<String, Value>,
    /// `added_tokens.json`.
    pub(super) added: Map<String, Value>,
}

impl TokenFiles {
    /// A warning where the settings ask for tokens around each text that the tokenizer has no template for: transformers 5
    /// passes the settings over beside a `tokenizer.json`.
    pub(super) fn beginnings_in_vain(&self) -> Option<Diagnostic> {
        let asked = ["add_bos_token", "add_eos_token"];
        let asked = asked.into_iter().filter(|key| self.settings.get(*key) == Some(&Value::Bool(true)));
        let asked: Vec<String> = asked.map(|key| format!("`{key}`")).collect();
        let has_template = self.tokenizer.get("post_processor").is_some_and(|template| !template.is_null());
        if has_template || asked.is_empty() {
            return None;
        }
        let message =
            format!("{} is true, and tokenizer.json has no template that adds it", asked.join(", "));
        let warning = Diagnostic::bad_input(error_code::BEGINNING_IN_VAIN, message).warning();
        Some(warning.in_file("tokenizer_config.json").note("texts get no such token, as in transformers 5").hint(
            "if the model was trained with it, save the tokenizer with a `post_processor` of the type TemplateProcessing",
        ))
    }
}

/// What was added to a `tokenizer.json`.
#[derive(Debug)]
pub(super) struct Merged {
    /// The file with the tokens.
    pub(super) tokenizer: Vec<u8>,
    /// Which tokens are new, or are matched otherwise than the file said.
    pub(super) warning: Diagnostic,
}

/// Adds to the tokenizer what the other files name; `None` where it has all of that.
///
/// # Errors
/// A token is described in another way than transformers reads, or the tokenizer does not work.
pub(super) fn merge(files: &TokenFiles) -> Result<Option<Merged>, Diagnostic> {
    let before = described(&files.tokenizer)?;
    let wanted = wanted(files, &before)?;
    if wanted.is_empty() {
        return Ok(None);
    }
    let refuse = |reason: &dyn std::fmt::Display| {
        let message = format!("expected a tokenizer that takes added tokens, found: {reason}");
        Diagnostic::bad_input(error_code::CARRIED, message).in_file("tokenizer.json")
    };
    let text = serde_json::to_vec(&files.tokenizer).expect("an object is written as one");
    let mut library = Tokenizer::from_bytes(&text).map_err(|error| refuse(&error))?;
    library.add_tokens(wanted.clone()).map_err(|error| refuse(&error))?;
    let mut tokenizer = files.tokenizer.clone();
    let all: BTreeMap<u32, AddedToken> = library.get_added_tokens_decoder().into_iter().collect();
    let entry = |(id, token): (u32, AddedToken)| {
        let mut entry = serde_json::to_value(token).expect("a token is an object");
        entry["id"] = id.into();
        entry
    };
    tokenizer.insert("added_tokens".into(), all.into_iter().map(entry).collect());
    let tokenizer = serde_json::to_vec(&tokenizer).expect("an object is written as one");
    Ok(Some(Merged { tokenizer, warning: warning(&wanted) }))
}

/// The added tokens of a `tokenizer.json`, by content.
fn described(tokenizer: &Map<String, Value>) -> Result<BTreeMap<String, AddedToken>, Diagnostic> {
    let entries = tokenizer.get("added_tokens").and_then(Value::as_array).into_iter().flatten();
    let tokens = entries.map(|entry| token(entry, false, "added_tokens", "tokenizer.json"));
    tokens.map(|token| token.map(|token| (token.content.clone(), token))).collect()
}

/// What transformers adds, in its order: tokens by id, then named ones, then further ones.
fn wanted(files: &TokenFiles, before: &BTreeMap<String, AddedToken>) -> Result<Vec<AddedToken>, Diagnostic> {
    let settings = settings(files);
    let by_id = match files.settings.get("added_tokens_decoder") {
        Some(decoder) => by_id(decoder)?,
        None => older_by_id(files, &settings)?,
    };
    let is_other = |token: &AddedToken| before.get(&token.content).is_none_or(|known| !alike(known, token));
    let listed: BTreeMap<&str, &AddedToken> = by_id.values().map(|t| (t.content.as_str(), t)).collect();
    let mut wanted: Vec<AddedToken> = by_id.values().filter(|token| is_other(token)).cloned().collect();
    let mut known: BTreeSet<String> = before.keys().cloned().collect();
    known.extend(wanted.iter().map(|token| token.content.clone()));
    let named = NAMED.iter().filter_map(|key| Some((*key, settings.get(*key)?)));
    let further = FURTHER.iter().filter_map(|key| Some((*key, settings.get(*key)?)));
    let further = further.flat_map(|(key, list)| match list {
        Value::Array(list) => list.iter().map(|value| (key, value)).collect::<Vec<_>>(),
        Value::Object(by_name) => by_name.values().map(|value| (key, value)).collect(),
        _ => vec![],
    });
    let own = settings.iter().filter(|(key, value)| {
        key.ends_with("_token")
            && !key.starts_with("add_")
            && !NAMED.contains(&key.as_str())
            && value.is_string()
    });
    let own = own.map(|(key, value)| (key.as_str(), value));
    for (key, value) in named.chain(own).chain(further).filter(|(_, value)| !value.is_null()) {
        let mut token = token(value, true, key, "tokenizer_config.json")?;
        if let Some(listed) = listed.get(token.content.as_str()) {
            token = (*listed).clone();
        }
        token.special = true;
        if !token.content.is_empty() && known.insert(token.content.clone()) {
            wanted.push(token);
        }
    }
    Ok(wanted)
}

/// The settings; those without a list of all added tokens take named tokens from the older file.
fn settings(files: &TokenFiles) -> Map<String, Value> {
    let mut settings = files.settings.clone();
    if !settings.contains_key("added_tokens_decoder") {
        settings.extend(files.named.clone());
    }
    settings
}

/// `added_tokens_decoder`: tokens by their ids.
fn by_id(decoder: &Value) -> Result<BTreeMap<u64, AddedToken>, Diagnostic> {
    const KEY: &str = "added_tokens_decoder";
    let entries = decoder.as_object().ok_or_else(|| wrong(KEY, "an object of tokens by id", decoder))?;
    let entry = |(id, value): (&String, &Value)| {
        let id = id.parse().map_err(|_| wrong(KEY, "ids as keys", &Value::from(id.as_str())))?;
        Ok((id, token(value, false, KEY, "tokenizer_config.json")?))
    };
    entries.iter().map(entry).collect()
}

/// `added_tokens.json`: ids by their tokens, special where the settings name them so. Those that `tokenizer.json` has as well are
/// as it says.
fn older_by_id(
    files: &TokenFiles,
    settings: &Map<String, Value>,
) -> Result<BTreeMap<u64, AddedToken>, Diagnostic> {
    let named = NAMED.iter().filter_map(|key| content(settings.get(*key)?));
    let further = FURTHER.iter().filter_map(|key| settings.get(*key)?.as_array());
    let special: BTreeSet<&str> = named.chain(further.flatten().filter_map(content)).collect();
    let of_file = files.tokenizer.get("added_tokens").and_then(Value::as_array).into_iter().flatten();
    let taken: BTreeSet<u64> = of_file.filter_map(|entry| entry["id"].as_u64()).collect();
    let mut tokens = BTreeMap::new();
    for (text, id) in &files.added {
        let id = id.as_u64().ok_or_else(|| wrong("added_tokens.json", "ids of tokens", id))?;
        if !taken.contains(&id) {
            let is_special = special.contains(text.as_str());
            tokens.insert(id, AddedToken::from(text.as_str(), is_special));
        }
    }
    Ok(tokens)
}

/// What a token is called: a string, or an object with its content.
fn content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// A token with its flags, by default those of transformers' `AddedToken`.
fn token(value: &Value, special: bool, key: &str, file: &str) -> Result<AddedToken, Diagnostic> {
    let text = content(value).ok_or_else(|| wrong(key, "a token", value).in_file(file))?;
    let flag = |name: &str, default: bool| match value.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(wrong(key, &format!("`{name}` true or false"), other).in_file(file)),
    };
    let special = flag("special", special)?;
    Ok(AddedToken {
        content: text.to_owned(),
        single_word: flag("single_word", false)?,
        lstrip: flag("lstrip", false)?,
        rstrip: flag("rstrip", false)?,
        normalized: flag("normalized", !special)?,
        special,
    })
}

fn alike(a: &AddedToken, b: &AddedToken) -> bool {
    let flags = |t: &AddedToken| (t.single_word, t.lstrip, t.rstrip, t.normalized, t.special);
    flags(a) == flags(b)
}

fn wrong(key: &str, expected: &str, found: &Value) -> Diagnostic {
    let message = format!("`{key}`: expected {expected}, found {}", shown(found));
    Diagnostic::bad_input(error_code::CARRIED, message).in_file("tokenizer_config.json")
}

fn warning(added: &[AddedToken]) -> Diagnostic {
    let names: Vec<String> = added.iter().take(SHOWN).map(|token| format!("{:?}", token.content)).collect();
    let more = if added.len() > SHOWN { " and others" } else { "" };
    let message = format!(
        "tokenizer.json lacks {} that the files beside it name, or matches them otherwise: {}{more}",
        if added.len() == 1 { "a token".to_owned() } else { format!("{} tokens", added.len()) },
        names.join(", "),
    );
    Diagnostic::bad_input(error_code::ADDED_TOKENS, message)
        .warning()
        .in_file("tokenizer.json")
        .note("the plan's tokenizer has them, as transformers gives them to its own")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use samp_runtime::AddSpecial;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    fn files(tokenizer: &Value, files: &Value) -> TokenFiles {
        TokenFiles {
            tokenizer: object(tokenizer),
            settings: object(&files["tokenizer_config.json"]),
            named: object(&files["special_tokens_map.json"]),
            added: object(&files["added_tokens.json"]),
        }
    }

    #[test]
    fn tokens_of_every_file_are_those_of_transformers() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tokenizers/added.json");
        let all: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let mut merged = 0;
        for case in all["cases"].as_array().unwrap() {
            let files = files(&all["tokenizer"], &case["files"]);
            let tokenizer = match merge(&files).unwrap() {
                Some(found) => {
                    merged += 1;
                    found.tokenizer
                }
                None => serde_json::to_vec(&files.tokenizer).unwrap(),
            };
            let tokenizer = samp_runtime::Tokenizer::from_bytes(&tokenizer).unwrap();
            for (text, ids) in case["ids"].as_object().unwrap() {
                let expected: Vec<u32> = serde_json::from_value(ids.clone()).unwrap();
                let found = tokenizer.encode(text, AddSpecial::Yes).unwrap();
                assert_eq!(found, expected, "{}: {text:?}", case["name"]);
            }
        }
        assert_eq!(merged, 12);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let tokenizer =
            serde_json::json!({"added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}});
        let settings = |settings: Value| {
            merge(&files(&tokenizer, &serde_json::json!({"tokenizer_config.json": settings})))
                .unwrap_err()
                .message
        };
        let wrong = [
            (serde_json::json!({"added_tokens_decoder": []}), "an object of tokens by id"),
            (serde_json::json!({"added_tokens_decoder": {"x": "<a>"}}), "ids as keys"),
            (serde_json::json!({"added_tokens_decoder": {"7": {"lstrip": true}}}), "a token"),
            (
                serde_json::json!({"added_tokens_decoder": {"7": {"content": "<a>", "lstrip": 1}}}),
                "true or false",
            ),
            (serde_json::json!({"pad_token": 7}), "a token"),
        ];
        for (value, expected) in wrong {
            let found = settings(value);
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    #[test]
    fn a_beginning_that_nothing_adds_is_warned_of() {
        let warned = |post_processor: Value, settings: Value| {
            let tokenizer = serde_json::json!({"post_processor": post_processor});
            files(&tokenizer, &serde_json::json!({"tokenizer_config.json": settings}))
                .beginnings_in_vain()
                .is_some()
        };
        let asked = serde_json::json!({"add_bos_token": true});
        assert!(warned(Value::Null, asked.clone()));
        assert!(!warned(serde_json::json!({"type": "TemplateProcessing"}), asked));
        assert!(!warned(Value::Null, serde_json::json!({"add_bos_token": false, "add_eos_token": null})));
    }
}
