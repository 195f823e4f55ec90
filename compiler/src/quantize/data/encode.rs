//! Records as the model sees them in serving: tokens, with the chat template and the token that begins a text.

use std::{collections::BTreeMap, path::Path};

use rayon::prelude::*;
use samp_ir::Diagnostic;
use samp_runtime::{
    AddSpecial, ChatError, ChatTemplate, Conversation, SpecialTokens, Tokenizer, TokenizerError,
    tokenizer::TOKENIZER_FILE,
};

use super::source_record::{Content, SourceRecord};
use crate::{error_code, import::CarriedFile};

const MEND: &str = "mend the record, or leave it out";

/// A record as tokens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenRecord {
    /// At least two.
    pub tokens: Vec<u32>,
    /// The part of the data that it belongs to.
    pub stratum: String,
    /// How likely it is drawn within its stratum, relative to the others; finite and above 0.
    pub weight: f64,
    /// Whether the chat template wrote it.
    pub chat: bool,
}

/// The records of each stratum.
pub(super) type Strata = BTreeMap<String, Vec<TokenRecord>>;

impl AsRef<[u32]> for TokenRecord {
    fn as_ref(&self) -> &[u32] {
        &self.tokens
    }
}

/// Turns records into tokens.
pub(super) struct Encoder {
    tokenizer: Tokenizer,
    template: Result<Option<ChatTemplate>, ChatError>,
    vocab: u64,
    most: usize,
}

impl Encoder {
    /// An encoder with the tokenizer and chat template of a checkpoint with `vocab` tokens. Records are cut to `most` tokens.
    pub(super) fn open(files: &[CarriedFile], vocab: u64, most: usize) -> Result<Encoder, Diagnostic> {
        let read = |file| Ok::<_, Diagnostic>((file, read(file)?));
        let files: Vec<(&CarriedFile, Vec<u8>)> = files.iter().map(read).collect::<Result<_, _>>()?;
        let file = |name: &str| files.iter().find(|f| f.0.name == name).map(|f| f.1.as_slice());
        let json = file(TOKENIZER_FILE).ok_or_else(|| {
            Diagnostic::bad_input(
                error_code::TOKENIZER,
                "expected a tokenizer beside the weights, found none",
            )
            .in_file(TOKENIZER_FILE)
            .hint("calibration turns texts into tokens: save the tokenizer with the checkpoint")
        })?;
        let tokenizer = Tokenizer::from_bytes(json).map_err(|e| {
            Diagnostic::bad_input(error_code::TOKENIZER, e.to_string()).in_file(TOKENIZER_FILE)
        })?;
        // A template that cannot be used matters only to conversations.
        Ok(Encoder { tokenizer, template: ChatTemplate::from_files(&file), vocab, most })
    }

    /// The chat template's text, if there is one.
    pub(super) fn template(&self) -> Option<&str> {
        self.template.as_ref().ok()?.as_ref().map(ChatTemplate::source)
    }

    /// The tokens of the records of `file`, and what was cut and passed over.
    ///
    /// Texts get the tokens that begin a text; conversations go through the chat template, up to where the assistant's answer
    /// begins where they do not end with one. A record of more tokens than the most is cut to its first ones; a record of
    /// fewer than two predicts nothing and is passed over.
    pub(super) fn encode(
        &self,
        file: &Path,
        records: Vec<SourceRecord>,
    ) -> Result<(Vec<TokenRecord>, Vec<Diagnostic>), Diagnostic> {
        let file = file.display().to_string();
        let total = records.len();
        let unknown = unknown_keys(&records);
        let encoded: Vec<Result<TokenRecord, Diagnostic>> =
            records.into_par_iter().map(|record| self.encode_one(&file, record)).collect();
        let mut kept = Vec::with_capacity(total);
        let mut cut = 0;
        for record in encoded {
            let mut record = record?;
            cut += usize::from(record.tokens.len() > self.most);
            record.tokens.truncate(self.most);
            if record.tokens.len() > 1 {
                kept.push(record);
            }
        }
        let warn = |code, message: String, hint: &str| {
            Diagnostic::bad_input(code, message).warning().in_file(&file).hint(hint)
        };
        let mut warnings = vec![];
        if !unknown.is_empty() {
            warnings.push(warn(
                error_code::UNKNOWN_KEYS,
                format!("records have keys that say nothing here: {}", unknown.join(", ")),
                "what a conversation is about stands in `messages`, `tools`, `documents` and `chat_template_kwargs`",
            ));
        }
        if cut > 0 {
            let message =
                format!("{cut} of {total} records are longer than {} tokens and were cut", self.most);
            warnings.push(warn(
                error_code::CUT_RECORDS,
                message,
                "raise --record-tokens and --max-model-len, or split the records",
            ));
        }
        let skipped = total - kept.len();
        if skipped > 0 {
            let message =
                format!("{skipped} of {total} records have fewer than 2 tokens and were passed over");
            warnings.push(warn(error_code::SKIPPED_RECORDS, message, "give longer records"));
        }
        Ok((kept, warnings))
    }

    fn encode_one(&self, file: &str, record: SourceRecord) -> Result<TokenRecord, Diagnostic> {
        let at = |finding: Diagnostic| finding.in_file(format!("{file}:{}", record.number));
        let chat = matches!(record.content, Content::Chat(_));
        let refused =
            |e: TokenizerError| at(Diagnostic::bad_input(error_code::TOKENIZER, e.to_string()).hint(MEND));
        let tokens = match &record.content {
            Content::Text(text) => self.tokenizer.encode(text, AddSpecial::Yes).map_err(refused)?,
            Content::Chat(conversation) => self.conversation(conversation).map_err(at)?,
        };
        if let Some(id) = tokens.iter().find(|&&id| u64::from(id) >= self.vocab) {
            let text = self.tokenizer.token_text(*id).unwrap_or_default();
            let message =
                format!("expected tokens below vocab_size = {}, found {id}, which is {text:?}", self.vocab);
            return Err(at(Diagnostic::bad_input(error_code::TOKENIZER, message).hint(MEND)));
        }
        Ok(TokenRecord { tokens, stratum: record.stratum, weight: record.weight, chat })
    }

    /// The tokens of a conversation; special tokens that its messages spell are text, as in serving.
    fn conversation(&self, conversation: &Conversation) -> Result<Vec<u32>, Diagnostic> {
        let unusable = |e: &ChatError| Diagnostic::bad_input(error_code::CHAT_TEMPLATE, e.to_string());
        let template = self.template.as_ref().map_err(unusable)?.as_ref().ok_or_else(|| {
            let message = "`messages` need a chat template, and the checkpoint has none";
            Diagnostic::bad_input(error_code::NO_CHAT_TEMPLATE, message)
                .hint("give the conversations as `text`, or add chat_template.jinja to the checkpoint")
        })?;
        template.record_tokens(&self.tokenizer, conversation).map_err(|e| match e {
            ChatError::Tokenizer(e) => Diagnostic::bad_input(error_code::TOKENIZER, e.to_string()).hint(MEND),
            other => unusable(&other).hint(MEND),
        })
    }

    /// A token as people read it.
    pub(super) fn decode(&self, token: u32) -> String {
        let text = self.tokenizer.decode(&[token], SpecialTokens::Keep).ok();
        // A part of a character has no text of its own: it is shown as the vocabulary writes it.
        let text = text.filter(|text| !text.is_empty() && !text.contains('\u{fffd}'));
        text.or_else(|| self.tokenizer.token_text(token)).unwrap_or_else(|| format!("token {token}"))
    }
}

/// The keys that nothing reads, each once, with the number of records that have it.
fn unknown_keys(records: &[SourceRecord]) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for key in records.iter().flat_map(|record| &record.unknown) {
        *counts.entry(key).or_default() += 1;
    }
    counts.into_iter().map(|(key, count)| format!("`{key}` ({count} of {})", records.len())).collect()
}

fn read(file: &CarriedFile) -> Result<Vec<u8>, Diagnostic> {
    file.read().map_err(|e| {
        Diagnostic::bad_input(error_code::TOKENIZER, format!("the file cannot be read: {e}"))
            .in_file(&file.name)
    })
}
