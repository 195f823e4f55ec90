//! Why the server does not start, or does not go on.

use samp_abi::Cause;
use samp_runtime::{ChatError, EngineError, PlanError, ThreadsError, TokenizerError};

use crate::error_code;

/// Why the server does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ServeError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the plan cannot turn texts into tokens: {0}")]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Chat(#[from] ChatError),
    #[error(transparent)]
    Threads(#[from] ThreadsError),
    #[error("{address}: cannot listen: {source}; choose another --host or --port, or end what listens there")]
    Listen { address: String, source: std::io::Error },
    #[error("{name}: expected {expected}, found {found}; the plan's limits are fixed when it is compiled")]
    Limit { name: &'static str, expected: String, found: usize },
    #[error("{path}: expected a key of one line, found {found}; write one into it")]
    KeyFile { path: String, found: String },
    #[error(
        "the plan has the digest blake3:{found}; expected {expected}: serve that plan, or change --digest"
    )]
    Digest { expected: String, found: String },
    #[error(
        "{path}: the judge's memory cannot be read or written: {source}; give another --state, or remove what is broken"
    )]
    StateFile { path: String, source: std::io::Error },
    #[error("the baseline {baseline}: {found}; compile it from the checkpoint that the plan was made from")]
    Baseline { baseline: String, found: String },
    #[error("a thread cannot be started: {0}; allow more processes and memory (ulimit -u, ulimit -v)")]
    Thread(std::io::Error),
    #[error("the load test: {reason}; look at --base-url, --api-key and the files that are named")]
    Bench { reason: String },
    #[error("the engine's thread broke off; please report it")]
    Broken,
}

impl ServeError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        match self {
            ServeError::Plan(error) => error.code(),
            ServeError::Engine(error) => error.code(),
            ServeError::Tokenizer(error) => error.code(),
            ServeError::Chat(error) => error.code(),
            ServeError::Threads(error) => error.code(),
            ServeError::Listen { .. } => error_code::LISTEN,
            ServeError::Limit { .. } => error_code::SERVER_LIMIT,
            ServeError::KeyFile { .. } => error_code::KEY_FILE,
            ServeError::Digest { .. } => error_code::SERVED_DIGEST,
            ServeError::StateFile { .. } => error_code::STATE_FILE,
            ServeError::Baseline { .. } => error_code::OTHER_BASELINE,
            ServeError::Thread(_) => error_code::SERVER_THREAD,
            ServeError::Bench { .. } => error_code::LOAD_TEST,
            ServeError::Broken => error_code::ENGINE_BROKEN,
        }
    }

    /// Why it came about: how the process ends.
    pub fn cause(&self) -> Cause {
        let code = self.code();
        let own = error_code::TABLE.iter().find(|entry| entry.code == code).map(|entry| entry.cause);
        own.or_else(|| samp_runtime::error_code::cause(code)).unwrap_or(Cause::Bug)
    }
}
