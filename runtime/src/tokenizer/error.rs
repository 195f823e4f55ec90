//! Why text cannot be turned into tokens.

use crate::error_code;

/// The library that tokenizes, as errors name it.
pub(super) const LIBRARY: &str = "tokenizers";
/// File of the tokenizer inside a plan.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

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

impl TokenizerError {
    /// Stable code for people, `E14` and two digits.
    pub fn code(&self) -> &'static str {
        match self {
            TokenizerError::Missing => error_code::NO_TOKENIZER,
            TokenizerError::File { .. } => error_code::BAD_TOKENIZER,
            TokenizerError::Failed(_) => error_code::TOKENIZER_FAILED,
        }
    }
}
