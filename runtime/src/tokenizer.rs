//! The plan's tokenizer, with special tokens added as transformers adds them.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{library_panic::catch_library_panic, plan::OpenPlan};

const LIBRARY: &str = "tokenizers";

/// File of the tokenizer inside a plan.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// File with its settings.
pub const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";

/// Why text cannot be turned into tokens or back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    /// The plan carries no tokenizer.
    #[error("the plan has no {TOKENIZER_FILE}; compile a checkpoint that has one, or give token ids")]
    Missing,
    /// A file that is not what it should be.
    #[error("{file}: {reason}; compile the checkpoint again with a sound one")]
    File {
        /// Its name inside the plan.
        file: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The tokenizer refused the text or the tokens.
    #[error("the tokenizer failed: {0}")]
    Failed(String),
}

/// Whether encoding adds the tokens that begin (and end) a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddSpecial {
    /// As transformers does by default.
    Yes,
    /// Nothing but the text's own tokens: for rendered chat templates and continuations.
    No,
}

/// Whether decoding shows special tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialTokens {
    /// Leave them out.
    Skip,
    /// Show them as text.
    Keep,
}

/// A plan's tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: BTreeSet<u32>,
}

/// A token as a string or as an object with its content.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum TokenText {
    Plain(String),
    Added { content: String },
}

impl TokenText {
    pub fn text(&self) -> &str {
        match self {
            TokenText::Plain(text) | TokenText::Added { content: text } => text,
        }
    }
}

impl Tokenizer {
    /// The tokenizer that `plan` carries.
    pub fn from_plan(plan: &OpenPlan) -> Result<Tokenizer, TokenizerError> {
        let tokenizer = plan.file(TOKENIZER_FILE).ok_or(TokenizerError::Missing)?;
        Tokenizer::from_bytes(tokenizer)
    }

    /// Reads `tokenizer.json`. Which special tokens begin and end a text, its own template says: transformers 5 lets go
    /// of `add_bos_token` and `add_eos_token` in `tokenizer_config.json` where there is this file.
    pub fn from_bytes(tokenizer: &[u8]) -> Result<Tokenizer, TokenizerError> {
        let wrong = |reason: &dyn std::fmt::Display| TokenizerError::File {
            file: TOKENIZER_FILE,
            reason: reason.to_string(),
        };
        let mut inner = catch_library_panic(LIBRARY, || tokenizers::Tokenizer::from_bytes(tokenizer))
            .map_err(|e| wrong(&e))?;
        // Truncation and padding are the caller's business, whatever the file was saved with.
        inner.with_padding(None).with_truncation(None).map_err(|e| wrong(&e))?;
        let added = inner.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        Ok(Tokenizer { inner, special })
    }

    /// The token ids of a text.
    pub fn encode(&self, text: &str, special: AddSpecial) -> Result<Vec<u32>, TokenizerError> {
        let encoding =
            catch_library_panic(LIBRARY, || self.inner.encode_fast(text, special == AddSpecial::Yes));
        encoding.map(|e| e.get_ids().to_vec()).map_err(|e| TokenizerError::Failed(e.to_string()))
    }

    /// The text of token ids. Ids that the tokenizer does not know are left out.
    pub fn decode(&self, ids: &[u32], special: SpecialTokens) -> Result<String, TokenizerError> {
        catch_library_panic(LIBRARY, || self.inner.decode(ids, special == SpecialTokens::Skip))
            .map_err(|e| TokenizerError::Failed(e.to_string()))
    }

    /// The token as it stands in the vocabulary.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a token as it stands in the vocabulary.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The largest id that the tokenizer gives, with its token; `None` if it has no tokens. Looks at all of them.
    pub fn largest_id(&self) -> Option<(u32, String)> {
        self.inner.get_vocab(true).into_iter().map(|(token, id)| (id, token)).max()
    }

    /// Whether the token is a special one.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }
}
