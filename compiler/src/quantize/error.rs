//! What calibration refuses.

use samp_kernels::{format::EncodeError, quantize::HessianError};
use samp_runtime::DeviceError;

/// Why calibration stopped.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum CalibrationError {
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
    Journal(std::io::Error),
    #[error("keeping a rounded weight: {0}")]
    Store(std::io::Error),
}

impl CalibrationError {
    pub(super) fn inputs(linear: &str, source: HessianError) -> CalibrationError {
        CalibrationError::Inputs { linear: linear.into(), source }
    }
}
