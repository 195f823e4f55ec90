//! Why there is no plan.

use std::{io, path::PathBuf};

use samp_abi::TargetName;
use samp_ir::Diagnostic;
use samp_runtime::ThreadsError;

use crate::{
    certificate::ProfileWriteError,
    emit::{CodeError, EmitError},
    error_code,
    quantize::QuantizeError,
};

/// Why a compile stopped.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A finding of import, of a pass, or about calibration data.
    #[error(transparent)]
    Finding(#[from] Diagnostic),
    /// Measuring, rounding or auditing failed.
    #[error(transparent)]
    Quantize(QuantizeError),
    /// The plan was not written.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The kernels' machine code was not made.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// A profile was not written.
    #[error(transparent)]
    Profile(#[from] ProfileWriteError),
    /// A plan was asked for and there is only a `config.json`.
    #[error("{0} has no weights: give the checkpoint's directory, or --dry-run")]
    NoWeights(PathBuf),
    /// It was not said where the plan goes.
    #[error("expected -o PLAN")]
    NoOutput,
    /// There are no threads to compute with.
    #[error("--threads: {0}")]
    Threads(#[from] ThreadsError),
    /// The formats follow a recipe and are not to be measured.
    #[error("measuring needs calibration data: expected --calib FILE")]
    NoData,
    /// The target runs no kernels that are compiled for it.
    #[error("--kernels: {0} runs the host's own code; choose a GPU")]
    NoKernels(TargetName),
    /// A folder could not be made or removed.
    #[error("{action} {path}")]
    Folder {
        /// What was tried, such as `making`.
        action: &'static str,
        /// On which folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl From<QuantizeError> for CompileError {
    fn from(error: QuantizeError) -> CompileError {
        match error {
            QuantizeError::Finding(finding) => CompileError::Finding(finding),
            other => CompileError::Quantize(other),
        }
    }
}

impl CompileError {
    /// The finding, where that is what stopped the compile.
    pub fn finding(&self) -> Option<&Diagnostic> {
        match self {
            CompileError::Finding(finding) | CompileError::Emit(EmitError::Import(finding)) => Some(finding),
            _ => None,
        }
    }

    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        match self {
            CompileError::Finding(finding) => finding.code,
            CompileError::Quantize(refusal) => refusal.code(),
            CompileError::Emit(emission) => emission.code(),
            CompileError::Code(refusal) => refusal.code(),
            CompileError::Profile(refusal) => refusal.code(),
            CompileError::NoWeights(_) => error_code::NO_WEIGHTS,
            CompileError::NoOutput => error_code::NO_OUTPUT,
            CompileError::Threads(refusal) => refusal.code(),
            CompileError::NoData => error_code::NO_CALIBRATION_DATA,
            CompileError::NoKernels(_) => error_code::NO_KERNELS,
            CompileError::Folder { .. } => error_code::IO,
        }
    }
}
