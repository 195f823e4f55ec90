//! Why a session could not be opened, or could not do what it was asked.

use samp_abi::Cause;

use crate::{
    chat::ChatError, error::EngineError, error_code, generate::GenerateError, plan::PlanError,
    threads::ThreadsError, tokenizer::TokenizerError,
};

/// Why a session could not be opened, or could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// From the plan's check.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Another plan than was asked for.
    #[error(
        "expected the plan whose digest is {expected}, found {found}; open that plan, or ask for this digest"
    )]
    Digest {
        /// What was asked for.
        expected: String,
        /// The plan's own.
        found: String,
    },
    /// No threads to compute with.
    #[error(transparent)]
    Threads(#[from] ThreadsError),
    /// A conversation for a model that has no chat template.
    #[error("this model has no chat template; give its prompt as text")]
    NoChatTemplate,
    /// Threads and devices do not follow a process into its child.
    #[error("the session was opened before this process was forked; open the plan again in the child")]
    Forked,
    /// An earlier call panicked while it held the engine.
    #[error(
        "an earlier call on this session failed with a defect of samp; open the plan again, and report it"
    )]
    Failed,
    /// From the engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// From the generation.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// From the tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// From the chat template.
    #[error(transparent)]
    Chat(#[from] ChatError),
}

impl SessionError {
    /// Stable code for people, `E14` and two digits; what comes from elsewhere keeps its own.
    pub fn code(&self) -> &'static str {
        match self {
            SessionError::Plan(fault) => fault.code(),
            SessionError::Digest { .. } => error_code::OTHER_PLAN,
            SessionError::Threads(refusal) => refusal.code(),
            SessionError::NoChatTemplate => error_code::NO_TEMPLATE,
            SessionError::Forked | SessionError::Failed => error_code::SESSION_ENDED,
            SessionError::Engine(refusal) => refusal.code(),
            SessionError::Generate(refusal) => refusal.code(),
            SessionError::Tokenizer(refusal) => refusal.code(),
            SessionError::Chat(refusal) => refusal.code(),
        }
    }

    /// Who has to act: what the table of codes says of this one, and after a defect samp's makers.
    pub fn cause(&self) -> Cause {
        match self {
            SessionError::Failed => Cause::Bug,
            _ => error_code::cause(self.code()).unwrap_or(Cause::Bug),
        }
    }
}
