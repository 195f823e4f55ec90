//! Why a device cannot serve a plan.

use samp_abi::TargetName;

use super::{gpu::DriverError, kind::DeviceKind};
use crate::{error_code, threads::ThreadsError};

/// Why a device cannot serve a plan.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The plan is for another machine.
    #[error(
        "this plan is for {target}, not for the {device} device; compile it for this one, or use `reference`"
    )]
    Target {
        /// What the plan is for.
        target: TargetName,
        /// What was asked for.
        device: DeviceKind,
    },
    /// The plan is for a GPU, and there is none here.
    #[error(
        "this plan is for {target}: {source}. Without such a GPU, `--device emulate` runs the same kernels on the CPU, \
         slowly, and `--device reference` the plain loops that define them"
    )]
    Absent {
        /// What the plan is for.
        target: TargetName,
        /// What was looked for.
        source: DriverError,
    },
    /// The plan is for a GPU, and this build has no device for GPUs.
    #[error(
        "this plan is for {target}, and this build runs nothing on GPUs; build it with `cuda`, or use `reference`"
    )]
    NotBuilt {
        /// What the plan is for.
        target: TargetName,
    },
    /// A kernel that this build lacks or that computes something else.
    #[error(
        "{step}: kernel `{kernel}` is not one of this build's for the operation; compile the model again"
    )]
    Kernel {
        /// The step's label.
        step: String,
        /// Name of the kernel that the plan asks for.
        kernel: String,
    },
    /// The plan's machine code is for other GPUs.
    #[error(
        "this plan is for {target}, compute capability {}.{}; found {name}, compute capability {}.{}: compile it for this one",
        expected.0, expected.1, found.0, found.1
    )]
    Capability {
        /// What the plan is for.
        target: TargetName,
        /// Its compute capability.
        expected: (u32, u32),
        /// Product name of the GPU that was found.
        name: String,
        /// Its compute capability.
        found: (u32, u32),
    },
    /// The GPU refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// No threads to compute with.
    #[error(transparent)]
    Threads(#[from] ThreadsError),
    /// Memory was refused.
    #[error("the {what} needs {bytes} bytes, which this machine refuses: {source}; {remedy}")]
    Memory {
        /// What it was for.
        what: &'static str,
        /// Bytes that were asked for.
        bytes: u64,
        /// What to do.
        remedy: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl DeviceError {
    /// Stable code for people, `E14` and two digits.
    pub fn code(&self) -> &'static str {
        match self {
            DeviceError::Absent { source, .. } => source.code(),
            DeviceError::Target { .. } | DeviceError::NotBuilt { .. } | DeviceError::Capability { .. } => {
                error_code::OTHER_TARGET
            }
            DeviceError::Kernel { .. } => error_code::NO_SUCH_KERNEL,
            DeviceError::Driver(refusal) => refusal.code(),
            DeviceError::Threads(refusal) => refusal.code(),
            DeviceError::Memory { .. } => error_code::HOST_MEMORY,
        }
    }
}
