//! A tokenizer whose special tokens have other names, so that no text spells them.
//!
//! The added tokens of a `tokenizer.json` are looked for in a text before anything else, and its vocabulary may hold them
//! besides. A copy calls each by one character of private use instead, everywhere: what a text spells is then text like
//! any other, and where a special token is meant, its new name is put. Everything else, such as how a text begins, stays
//! as it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use serde_json::Value;

use super::{
    error::{LIBRARY, TokenizerError},
    special::SpecialVocabulary,
};
use crate::library_panic::catch_library_panic;

/// The planes of private use: characters that no standard gives a meaning.
pub(crate) const PRIVATE_USE: std::ops::RangeInclusive<char> = '\u{F0000}'..='\u{10FFFD}';

/// The copy, and what its special tokens are called.
pub(super) struct RenamedTokenizer {
    inner: tokenizers::Tokenizer,
    names: BTreeMap<u32, char>,
}

impl RenamedTokenizer {
    /// A copy of `original` that gives its special tokens names outside `taken`.
    pub fn new(
        original: &tokenizers::Tokenizer,
        special: &SpecialVocabulary,
        taken: &BTreeSet<char>,
    ) -> Result<RenamedTokenizer, TokenizerError> {
        let failed = |reason: &dyn std::fmt::Display| TokenizerError::Failed(reason.to_string());
        let known = |name: &char| original.token_to_id(&name.to_string()).is_some();
        let mut free = PRIVATE_USE.filter(|name| !taken.contains(name) && !known(name));
        let mut names = BTreeMap::new();
        let mut by_text = BTreeMap::new();
        for (text, id) in special.iter() {
            let name = free.next().ok_or_else(|| failed(&"a text has every character of private use"))?;
            names.insert(id, name);
            by_text.insert(text, name.to_string());
        }
        let renamed = catch_library_panic(LIBRARY, || {
            let mut file: Value = serde_json::from_str(&original.to_string(false)?)?;
            rename(&mut file, &by_text);
            tokenizers::Tokenizer::from_bytes(serde_json::to_vec(&file)?)
        });
        Ok(RenamedTokenizer { inner: renamed.map_err(|e| failed(&e))?, names })
    }

    /// Whether `text` has a character that is a name here.
    pub fn has_name_in(&self, text: &str) -> bool {
        text.chars().any(|c| PRIVATE_USE.contains(&c) && self.names.values().any(|name| *name == c))
    }

    /// The token ids of a text, special ones only at `places` (in order, each with its id).
    pub fn encode(&self, text: &str, places: &[(Range<usize>, u32)]) -> Result<Vec<u32>, TokenizerError> {
        let mut named = String::with_capacity(text.len());
        let mut end = 0;
        for (range, id) in places {
            named.push_str(&text[end..range.start]);
            named.push(self.names[id]);
            end = range.end;
        }
        named.push_str(&text[end..]);
        let encoding = catch_library_panic(LIBRARY, || self.inner.encode_fast(named, false));
        encoding.map(|e| e.get_ids().to_vec()).map_err(|e| TokenizerError::Failed(e.to_string()))
    }
}

/// Renames tokens in a `tokenizer.json`: where they are added, in the vocabulary, and as the unknown token. Merges that
/// make one of them, or take one, are left out: no text comes to it.
fn rename(file: &mut Value, names: &BTreeMap<&str, String>) {
    let renamed = |text: &mut Value| {
        if let Some(name) = text.as_str().and_then(|text| names.get(text)) {
            *text = Value::from(name.as_str());
        }
    };
    for token in file["added_tokens"].as_array_mut().into_iter().flatten() {
        renamed(&mut token["content"]);
    }
    let model = &mut file["model"];
    if let Some(unknown) = model.get_mut("unk_token") {
        renamed(unknown);
    }
    match model.get_mut("vocab") {
        Some(Value::Object(ids)) => {
            for (text, name) in names {
                if let Some(id) = ids.remove(*text) {
                    ids.insert(name.clone(), id);
                }
            }
        }
        Some(Value::Array(pieces)) => pieces.iter_mut().for_each(|piece| renamed(&mut piece[0])),
        _ => {}
    }
    if let Some(merges) = model.get_mut("merges").and_then(Value::as_array_mut) {
        merges.retain(|merge| {
            let (a, b) = merged(merge);
            ![a, b, &format!("{a}{b}")].iter().any(|part| names.contains_key(part))
        });
    }
}

/// The two parts of a merge, written as a pair or as a text with a space between.
fn merged(merge: &Value) -> (&str, &str) {
    match merge {
        Value::String(text) => text.split_once(' ').unwrap_or_default(),
        pair => (pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default()),
    }
}
