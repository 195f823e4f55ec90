//! Why an evaluation stopped.

use samp_runtime::{
    ChatError, EngineError, TokenizerError,
    error_code::{NO_TEMPLATE, NO_TOKENIZER},
};

use crate::error_code;

/// Why an evaluation stopped. The source of an error says more.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A record could not be measured.
    #[error("record {number} of the data (its line, row or document)")]
    Record {
        /// Its line, row or document, from 1.
        number: usize,
        /// Why.
        source: Box<EvalError>,
    },
    /// A logit is infinite or not a number.
    #[error(
        "expected finite logits of {whose}, found {logit} for token {token} after position {position}; choose formats \
         with more range"
    )]
    NotFinite {
        /// The plan or the baseline.
        whose: &'static str,
        /// What was found.
        logit: f32,
        /// The token that it belongs to.
        token: usize,
        /// The position that it follows.
        position: usize,
    },
    /// The plan cannot turn text into tokens.
    #[error("this plan carries no tokenizer.json; evaluate it with --ids")]
    NoTokenizer,
    /// The plan cannot write conversations.
    #[error("`messages` need a chat template, and this model has none; give the conversations as `text`")]
    NoChatTemplate,
    /// The chat template cannot be used, or refuses a conversation.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The tokenizer refuses a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The plan does not run.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl EvalError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        match self {
            EvalError::Record { source, .. } => source.code(),
            EvalError::NotFinite { .. } => error_code::NOT_FINITE_LOGITS,
            EvalError::NoTokenizer => NO_TOKENIZER,
            EvalError::NoChatTemplate => NO_TEMPLATE,
            EvalError::Chat(refusal) => refusal.code(),
            EvalError::Tokenizer(refusal) => refusal.code(),
            EvalError::Engine(refusal) => refusal.code(),
        }
    }
}
