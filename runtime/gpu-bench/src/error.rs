//! Why something could not be shown or measured.

use samp_runtime::{DeviceError, device::gpu::DriverError};

use crate::code::CodeError;

/// Why something could not be shown or measured.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// The GPU refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The runtime's device refused.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// There is no machine code.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// There is no kernel for what was asked.
    #[error("there is no kernel for {what}; choose another format or shape")]
    Kernel {
        /// The operation, its shape and its formats.
        what: String,
    },
    /// The GPU does nothing more for this process.
    #[error("{unit}: {error}")]
    Lost {
        /// What it was doing.
        unit: String,
        /// What it answered.
        error: Box<GpuError>,
    },
    /// What was measured cannot be kept.
    #[error("writing what was measured: {0}")]
    Output(#[from] std::io::Error),
    /// A step's results are no numbers.
    #[error(
        "the step's logits are not finite, or all zero: its time would say nothing; run `samp-gpu kernels`"
    )]
    NotFinite,
}
