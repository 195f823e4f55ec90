//! Why the engine refused, and what a failed self-test found.

use crate::{device::DeviceError, error_code, kv::OutOfPages, sequence_id::SequenceId};

/// Why the engine refused. It is then as it was before the call.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum EngineError {
    #[error("the step has {found} tokens; the plan takes at most {limit}: split the batch")]
    TooManyTokens { found: usize, limit: u64 },
    #[error("{limit} sequences are alive, as many as the plan takes: release one first")]
    TooManySequences { limit: u64 },
    #[error("{id} would have {needed} positions; the plan takes at most {limit}: shorten it")]
    ContextExceeded { id: SequenceId, needed: usize, limit: u64 },
    #[error("{id} does not exist; it was released or belongs to another engine")]
    UnknownSequence { id: SequenceId },
    #[error("{id} stands twice in one step; give it one chunk")]
    RepeatedSequence { id: SequenceId },
    #[error("{id} has a chunk without tokens; leave it out")]
    EmptyChunk { id: SequenceId },
    #[error("token id {token} is not below the vocabulary size {vocab}; use the plan's own tokenizer")]
    UnknownToken { token: u32, vocab: u64 },
    #[error("output rows must ascend and be below the chunk's {tokens} tokens")]
    OutputRows { tokens: usize },
    #[error("{requests} tokens are to be sampled at {outputs} outputs; give one sample request for each")]
    SampleRequests { requests: usize, outputs: usize },
    #[error("{id} has {len} positions and cannot be cut to {asked}")]
    Truncate { id: SequenceId, len: usize, asked: usize },
    #[error("{id} shares the page that position {asked} lies in; cut it to a multiple of {page_tokens}")]
    SharedPage { id: SequenceId, asked: usize, page_tokens: usize },
    #[error(transparent)]
    OutOfPages(#[from] OutOfPages),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Golden(#[from] GoldenError),
}

impl EngineError {
    /// Stable code for people, `E14` and two digits.
    pub fn code(&self) -> &'static str {
        match self {
            EngineError::TooManyTokens { .. } => error_code::TOO_MANY_TOKENS,
            EngineError::TooManySequences { .. } => error_code::TOO_MANY_SEQUENCES,
            EngineError::ContextExceeded { .. } => error_code::CONTEXT_EXCEEDED,
            EngineError::UnknownSequence { .. } => error_code::UNKNOWN_SEQUENCE,
            EngineError::RepeatedSequence { .. }
            | EngineError::EmptyChunk { .. }
            | EngineError::OutputRows { .. }
            | EngineError::SampleRequests { .. } => error_code::BAD_BATCH,
            EngineError::UnknownToken { .. } => error_code::UNKNOWN_TOKEN,
            EngineError::Truncate { .. } | EngineError::SharedPage { .. } => error_code::BAD_TRUNCATION,
            EngineError::OutOfPages(refusal) => refusal.code(),
            EngineError::Device(refusal) => refusal.code(),
            EngineError::Golden(found) => found.code(),
        }
    }
}

/// The device computes something else than the compiler did.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "the golden probe failed: at position {position}, token {token}, expected logit {expected}, found {found}, \
     further apart than {tolerance}; this machine or this build computes wrongly, or the plan was made by another: \
     compile the model again here, or report a defect"
)]
pub struct GoldenError {
    /// Position in the probe.
    pub position: u32,
    /// Token whose logit differs most.
    pub token: u32,
    /// The compiler's logit.
    pub expected: f32,
    /// This device's logit.
    pub found: f32,
    /// Largest difference allowed.
    pub tolerance: f64,
}

impl GoldenError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        error_code::PROBE_FAILED
    }
}
