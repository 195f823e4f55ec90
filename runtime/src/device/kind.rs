//! The devices by name.

use std::{fmt, str::FromStr};

/// The devices that this build knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// The CPU kernels that the plan names.
    Cpu,
    /// The plain-loop reference of each kernel that the plan names, whatever the target.
    Reference,
    /// The CUDA kernels of a plan for a GPU, emulated on the CPU; slow.
    #[cfg(feature = "emulate")]
    Emulate,
    /// The first GPU of this machine.
    #[cfg(feature = "cuda")]
    Cuda,
}

impl DeviceKind {
    /// Every device of this build.
    pub const ALL: &[DeviceKind] = &[
        DeviceKind::Cpu,
        DeviceKind::Reference,
        #[cfg(feature = "emulate")]
        DeviceKind::Emulate,
        #[cfg(feature = "cuda")]
        DeviceKind::Cuda,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            DeviceKind::Cpu => "cpu",
            DeviceKind::Reference => "reference",
            #[cfg(feature = "emulate")]
            DeviceKind::Emulate => "emulate",
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda => "cuda",
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A device name that samp does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown device `{0}`; known are {known}", known = known_devices())]
pub struct ParseDeviceError(pub String);

fn known_devices() -> String {
    DeviceKind::ALL.iter().map(|device| device.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for DeviceKind {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<DeviceKind, ParseDeviceError> {
        DeviceKind::ALL
            .iter()
            .copied()
            .find(|d| d.name() == text)
            .ok_or_else(|| ParseDeviceError(text.into()))
    }
}
