//! The files that a plan carries along: the configuration, tokenizer, chat template, generation settings.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use samp_ir::Diagnostic;
use samp_runtime::{
    ChatError, ChatTemplate, GenerationConfig, Tokenizer, TokenizerError,
    chat::CHAT_TEMPLATE_FILE as CHAT_TEMPLATE,
    generation_config::GENERATION_CONFIG_FILE,
    outside_file::{lies_at, read_regular},
    tokenizer::TOKENIZER_CONFIG_FILE,
};
use serde_json::{Map, Value};

use super::{
    added_tokens::{self, Merged, TokenFiles},
    eos::eos_token_ids,
    json::{Object, shown},
};
use crate::error_code;

/// Names that are carried, in the order in which they are listed.
pub const CARRIED_FILES: [&str; 9] = [
    "config.json",
    CHAT_TEMPLATE,
    "chat_template.json",
    GENERATION_CONFIG_FILE,
    "special_tokens_map.json",
    "added_tokens.json",
    TOKENIZER,
    SENTENCEPIECE,
    TOKENIZER_CONFIG_FILE,
];
const TOKENIZER: &str = "tokenizer.json";
/// Binary; samp does not read it, other tools that an export is for do.
const SENTENCEPIECE: &str = "tokenizer.model";
/// Larger files are refused.
pub const MAX_CARRIED_BYTES: u64 = 1 << 28;

/// A file to be copied into the plan as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedFile {
    /// File name, in the checkpoint and in the plan.
    pub name: String,
    /// What is in it.
    pub content: CarriedContent,
}

/// What is in a file to be copied into the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CarriedContent {
    /// What lies at this path.
    At(PathBuf),
    /// What was made of another file.
    Made(Arc<[u8]>),
}

impl CarriedFile {
    /// A file of the checkpoint.
    pub fn at(name: &str, path: PathBuf) -> CarriedFile {
        CarriedFile { name: name.to_owned(), content: CarriedContent::At(path) }
    }

    /// A file that was made of another.
    pub(super) fn made(name: &str, bytes: Vec<u8>) -> CarriedFile {
        CarriedFile { name: name.to_owned(), content: CarriedContent::Made(bytes.into()) }
    }

    /// The bytes of one that was made.
    pub(super) fn made_bytes(&self) -> Option<&[u8]> {
        match &self.content {
            CarriedContent::At(_) => None,
            CarriedContent::Made(bytes) => Some(bytes),
        }
    }

    /// Its bytes.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        match &self.content {
            CarriedContent::At(path) => read_regular(path, MAX_CARRIED_BYTES),
            CarriedContent::Made(bytes) => Ok(bytes.to_vec()),
        }
    }

    /// How many bytes it has; 0 of one that cannot be looked at.
    pub(crate) fn len(&self) -> u64 {
        match &self.content {
            CarriedContent::At(path) => fs::metadata(path).map_or(0, |found| found.len()),
            CarriedContent::Made(bytes) => bytes.len() as u64,
        }
    }

    /// Where it lies, or would.
    pub(crate) fn path(&self) -> &Path {
        match &self.content {
            CarriedContent::At(path) => path,
            CarriedContent::Made(_) => Path::new(&self.name),
        }
    }
}

/// The carried files that `dir` has, each well-formed, and warnings: of a tokenizer that is missing, of settings of
/// generation that running the plan passes over. What turns text into token ids below `vocab` and back must work.
pub(super) fn carried_files(
    dir: &Path,
    vocab: u64,
) -> Result<(Vec<CarriedFile>, Vec<Diagnostic>), Diagnostic> {
    let mut files = Vec::new();
    let mut contents = BTreeMap::new();
    for name in CARRIED_FILES {
        let path = dir.join(name);
        if lies_at(&path) {
            let bytes = read(&path, name)?;
            check(name, &bytes)?;
            contents.insert(name, bytes);
            files.push(CarriedFile::at(name, path));
        }
    }
    let mut warnings = complete_tokenizer(&mut files, &mut contents)?;
    warnings.extend(check_text(&|name| contents.get(name).map(Vec::as_slice), vocab)?);
    let no_tokenizer = (!contents.contains_key(TOKENIZER)).then(|| {
        Diagnostic::bad_input(error_code::CARRIED, "expected a tokenizer beside the weights, found none")
            .in_file(TOKENIZER)
            .hint("save the tokenizer with transformers' save_pretrained, which writes tokenizer.json")
    });
    if let (Some(refusal), true) = (&no_tokenizer, contents.contains_key(SENTENCEPIECE)) {
        // Without it the plan would be found to take no text only when it is run.
        let refusal = refusal.clone().note(format!("{SENTENCEPIECE} alone is not read"));
        return Err(refusal.note("without any tokenizer file a plan is made that takes token ids only"));
    }
    let no_tokenizer =
        no_tokenizer.map(|found| found.warning().note("the plan will take token ids only, no text"));
    let settings = contents.get(GENERATION_CONFIG_FILE).and_then(|bytes| passed_over(bytes));
    warnings.extend(no_tokenizer.into_iter().chain(settings));
    Ok((files, warnings))
}

/// Gives the tokenizer the added tokens that other files name, and warns of what these say in vain.
fn complete_tokenizer(
    files: &mut [CarriedFile],
    contents: &mut BTreeMap<&str, Vec<u8>>,
) -> Result<Vec<Diagnostic>, Diagnostic> {
    let Some(file) = files.iter_mut().find(|file| file.name == TOKENIZER) else { return Ok(vec![]) };
    let object = |name: &str| match contents.get(name).map(|bytes| serde_json::from_slice(bytes)) {
        Some(Ok(Value::Object(object))) => object,
        _ => Map::new(),
    };
    let all = TokenFiles {
        tokenizer: object(TOKENIZER),
        settings: object(TOKENIZER_CONFIG_FILE),
        named: object("special_tokens_map.json"),
        added: object("added_tokens.json"),
    };
    let mut warnings: Vec<Diagnostic> = all.beginnings_in_vain().into_iter().collect();
    if let Some(Merged { tokenizer, warning }) = added_tokens::merge(&all)? {
        *file = CarriedFile::made(TOKENIZER, tokenizer.clone());
        contents.insert(TOKENIZER, tokenizer);
        warnings.push(warning);
    }
    Ok(warnings)
}

/// A warning of what running a plan does not follow of its `generation_config.json`.
fn passed_over(bytes: &[u8]) -> Option<Diagnostic> {
    let clauses = GenerationConfig::from_bytes(bytes).passed_over;
    let message = format!("settings that are not followed when the plan runs: {}", clauses.len());
    let warning = Diagnostic::bad_input(error_code::GENERATION_SETTINGS, message)
        .warning()
        .in_file(GENERATION_CONFIG_FILE)
        .hint("correct the file, or give other settings to `samp run`");
    (!clauses.is_empty()).then(|| clauses.into_iter().fold(warning, |warning, clause| warning.note(clause)))
}

fn check(name: &str, bytes: &[u8]) -> Result<(), Diagnostic> {
    let refuse = |message: String| Err(Diagnostic::bad_input(error_code::CARRIED, message).in_file(name));
    if name == SENTENCEPIECE {
        return Ok(());
    }
    if name.ends_with(".json") {
        return match serde_json::from_slice::<Value>(bytes) {
            Ok(Value::Object(_)) => Ok(()),
            Ok(other) => refuse(format!("expected a JSON object, found {}", shown(&other))),
            Err(e) => refuse(format!("expected a JSON object, found malformed text: {e}")),
        };
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(e) => refuse(format!("expected UTF-8 text, found: {e}")),
    }
}

/// Builds the tokenizer and the chat template from the files that `file` gives by name, as serving will. A warning where the
/// tokenizer has ids that the vocabulary `vocab` has not: a text that comes to one is refused when it is read.
pub fn check_text<'f>(
    file: &dyn Fn(&str) -> Option<&'f [u8]>,
    vocab: u64,
) -> Result<Option<Diagnostic>, Diagnostic> {
    let refuse =
        |name: &str, message: String| Diagnostic::bad_input(error_code::CARRIED, message).in_file(name);
    let mut beyond = None;
    if let Some(bytes) = file(TOKENIZER) {
        let tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| {
            let reason = match error {
                TokenizerError::File { reason, .. } => reason,
                other => other.to_string(),
            };
            refuse(TOKENIZER, format!("expected a tokenizer that works, found: {reason}"))
        })?;
        if let Some((id, token)) = tokenizer.largest_id().filter(|(id, _)| u64::from(*id) >= vocab) {
            let message = format!("expected token ids below vocab_size = {vocab}, found {id} of {token:?}");
            let warning =
                Diagnostic::bad_input(error_code::TOKENS_BEYOND, message).warning().in_file(TOKENIZER);
            beyond = Some(warning.note("texts that come to such a token are refused").hint(
                "tokenizer and weights belong to different models, or tokens were added and the embedding not resized",
            ));
        }
    }
    let (name, reason) = match ChatTemplate::from_files(file) {
        Ok(_) => return Ok(beyond),
        Err(ChatError::Template { file, reason }) => (file, reason),
        Err(other) => (CHAT_TEMPLATE, other.to_string()),
    };
    Err(refuse(name, format!("expected a chat template that compiles, found: {reason}")))
}

/// Reads a whole small file; `name` is for messages.
pub(super) fn read(path: &Path, name: &str) -> Result<Vec<u8>, Diagnostic> {
    read_regular(path, MAX_CARRIED_BYTES).map_err(|found| {
        Diagnostic::of_io(error_code::UNREADABLE, format!("expected a readable file, found: {found}"), &found)
            .in_file(name)
            .hint("give the directory of a Hugging Face checkpoint")
    })
}

/// The ids that end a text according to `generation_config.json`, which transformers prefers to `config.json`; empty if
/// it names none.
pub(super) fn generation_eos(
    dir: &Path,
    vocab: u64,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<u32>, Diagnostic> {
    const NAME: &str = GENERATION_CONFIG_FILE;
    let path = dir.join(NAME);
    if !lies_at(&path) {
        return Ok(vec![]);
    }
    eos_of(&read(&path, NAME)?, vocab, warnings)
}

/// The same of its bytes.
pub(super) fn eos_of(
    bytes: &[u8],
    vocab: u64,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<u32>, Diagnostic> {
    const NAME: &str = GENERATION_CONFIG_FILE;
    let mut found = vec![];
    let ids = eos_token_ids(&mut Object::parse(bytes, NAME)?, vocab, &mut found)?;
    warnings.extend(found.into_iter().map(|warning| warning.in_file(NAME)));
    Ok(ids)
}
