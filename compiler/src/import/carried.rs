//! The files that a plan carries along: the configuration, tokenizer, chat template, generation settings.

use std::{
    fs,
    path::{Path, PathBuf},
};

use samp_ir::Diagnostic;
use serde::de::IgnoredAny;

use super::{code, config::token_ids, json::Object};

/// Names that are carried, in the order in which they are listed.
pub const CARRIED_FILES: [&str; 7] = [
    "config.json",
    "chat_template.jinja",
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    TOKENIZER,
    "tokenizer_config.json",
];
const TOKENIZER: &str = "tokenizer.json";
const MAX_BYTES: u64 = 1 << 28;

/// A file to be copied into the plan as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedFile {
    /// File name, in the checkpoint and in the plan.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// The carried files that `dir` has, each well-formed, and a warning if there is no tokenizer.
pub(super) fn carried_files(dir: &Path) -> Result<(Vec<CarriedFile>, Option<Diagnostic>), Diagnostic> {
    let mut files = Vec::new();
    for name in CARRIED_FILES {
        let path = dir.join(name);
        if path.exists() {
            check(name, &read(&path, name)?)?;
            files.push(CarriedFile { name: name.to_owned(), path });
        }
    }
    let warning = (!files.iter().any(|f| f.name == TOKENIZER)).then(|| {
        Diagnostic::bad_input(code::CARRIED, "expected a tokenizer beside the weights, found none")
            .warning()
            .in_file(TOKENIZER)
            .note("the plan will take token ids only, no text")
            .hint("save the tokenizer with transformers' save_pretrained, which writes tokenizer.json")
    });
    Ok((files, warning))
}

fn check(name: &str, bytes: &[u8]) -> Result<(), Diagnostic> {
    let refuse = |message: String| Err(Diagnostic::bad_input(code::CARRIED, message).in_file(name));
    if name.ends_with(".json") {
        return match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => Ok(()),
            Err(e) => refuse(format!("expected JSON, found malformed text: {e}")),
        };
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(e) => refuse(format!("expected UTF-8 text, found: {e}")),
    }
}

/// Reads a whole small file; `name` is for messages.
pub(super) fn read(path: &Path, name: &str) -> Result<Vec<u8>, Diagnostic> {
    let refuse = |found: String| {
        Diagnostic::bad_input(code::UNREADABLE, format!("expected a readable file, found: {found}"))
            .in_file(name)
            .hint("give the directory of a Hugging Face checkpoint")
    };
    let metadata = fs::metadata(path).map_err(|e| refuse(e.to_string()))?;
    if !metadata.is_file() {
        return Err(refuse("a directory or a special file".into()));
    }
    if metadata.len() > MAX_BYTES {
        return Err(refuse(format!("{} bytes, more than the {MAX_BYTES} that are read", metadata.len())));
    }
    fs::read(path).map_err(|e| refuse(e.to_string()))
}

/// The ids that end a text according to `generation_config.json`, which transformers prefers to `config.json`; empty if
/// it names none.
pub(super) fn generation_eos(dir: &Path, vocab: u64) -> Result<Vec<u32>, Diagnostic> {
    const NAME: &str = "generation_config.json";
    let path = dir.join(NAME);
    if !path.exists() {
        return Ok(vec![]);
    }
    let bytes = read(&path, NAME)?;
    token_ids(&mut Object::parse(&bytes, NAME)?, "eos_token_id", vocab)
}
