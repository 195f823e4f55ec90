//! What measuring, rounding and auditing refuse.

use std::{io, path::PathBuf};

use samp_ir::Diagnostic;
use samp_kernels::{format::EncodeError, quantize::HessianError};
use samp_runtime::{DeviceError, Progress};

use crate::error_code;

/// Why there are no quantized weights.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum QuantizeError {
    #[error(
        "the inputs of {linear} cannot be used: {source}; check the checkpoint for NaN or overflowing weights"
    )]
    Inputs { linear: String, source: HessianError },
    #[error("{tensor} cannot be rounded: {source}")]
    Encode { tensor: String, source: EncodeError },
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("the logits of record {record} are not finite; the checkpoint overflows on this text")]
    Logits { record: usize },
    #[error("noting a measured weight: {0}")]
    Journal(#[source] io::Error),
    #[error("keeping a rounded weight: {0}")]
    Store(#[source] io::Error),
    #[error("writing the f32 weights of {tensor} to {dir}")]
    Spill { tensor: String, dir: PathBuf, source: io::Error },
    #[error("keeping activations between layers: {0}")]
    Activations(#[source] io::Error),
    #[error("making {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("calibration needs weights: a config.json has none, give the checkpoint's directory")]
    NoWeights,
    #[error("interrupted; what was measured is kept, the same command continues from it")]
    Interrupted,
    #[error(transparent)]
    Finding(#[from] Diagnostic),
}

/// Tells `progress` of one more unit, and stops where it asks for that.
pub(super) fn advance(progress: &dyn Progress, item: &str) -> Result<(), QuantizeError> {
    if progress.advance(item, 1).is_break() { Err(QuantizeError::Interrupted) } else { Ok(()) }
}

impl QuantizeError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        match self {
            QuantizeError::Inputs { .. } => error_code::UNUSABLE_INPUTS,
            QuantizeError::Encode { .. } => error_code::ENCODE,
            QuantizeError::Device(refusal) => refusal.code(),
            QuantizeError::Logits { .. } => error_code::NOT_FINITE_LOGITS,
            QuantizeError::Journal(_)
            | QuantizeError::Store(_)
            | QuantizeError::Activations(_)
            | QuantizeError::Spill { .. }
            | QuantizeError::Folder { .. } => error_code::WORK_FILES,
            QuantizeError::Interrupted => error_code::INTERRUPTED,
            QuantizeError::NoWeights => error_code::NO_WEIGHTS,
            QuantizeError::Finding(finding) => finding.code,
        }
    }

    pub(super) fn inputs(linear: &str, source: HessianError) -> QuantizeError {
        QuantizeError::Inputs { linear: linear.into(), source }
    }
}
