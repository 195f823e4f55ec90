//! Why a plan could not be measured.

use std::{io, path::PathBuf};

use crate::{error::EngineError, error_code, plan::PlanError};

/// Why a plan could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// More positions than the plan takes.
    #[error(
        "sequences of {asked} positions were asked for; the plan takes at most {limit}: measure shorter ones, or compile \
         the model with a larger --max-model-len"
    )]
    Positions {
        /// Positions of the longest sequence.
        asked: usize,
        /// Those that the plan takes.
        limit: u64,
    },
    /// More sequences than a step of the plan takes.
    #[error(
        "{asked} sequences were asked for at once; a step of the plan takes at most {limit}: measure fewer, or compile the \
         model with a larger --max-num-seqs and --max-num-batched-tokens"
    )]
    Sequences {
        /// Sequences of the widest step.
        asked: usize,
        /// Those that a step takes.
        limit: u64,
    },
    /// The plan's logits are not finite, so that it is worth nothing how fast they come.
    #[error("the plan gives logits that are not finite on random tokens; check it with `samp validate`")]
    NotFinite,
    /// The plan does not open any more.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan does not run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A file of the plan cannot be read any more.
    #[error("reading {path}: {source}", path = .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl BenchError {
    /// Stable code for people, `E13` or `E14` and two digits.
    pub fn code(&self) -> &'static str {
        match self {
            BenchError::Positions { .. } => error_code::CONTEXT_EXCEEDED,
            BenchError::Sequences { .. } => error_code::TOO_MANY_SEQUENCES,
            BenchError::NotFinite => error_code::NOT_FINITE_LOGITS,
            BenchError::Plan(fault) => fault.code(),
            BenchError::Engine(refusal) => refusal.code(),
            BenchError::Read { .. } => error_code::PLAN_IO,
        }
    }
}
