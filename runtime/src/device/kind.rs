//! The devices by name.

use samp_abi::TargetName;

use super::error::DeviceError;

/// The devices that this build knows, by their names on the command line.
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

samp_abi::named_enum! {
    DeviceKind, "device", ParseDeviceError {
        (DeviceKind::Cpu) => "cpu",
        (DeviceKind::Reference) => "reference",
        #[cfg(feature = "emulate")] (DeviceKind::Emulate) => "emulate",
        #[cfg(feature = "cuda")] (DeviceKind::Cuda) => "cuda",
    }
}

impl DeviceKind {
    /// The device that plans for `target` are meant for: the CPU, or the first GPU.
    pub fn for_target(target: TargetName) -> Result<DeviceKind, DeviceError> {
        match target {
            TargetName::Cpu => Ok(DeviceKind::Cpu),
            #[cfg(feature = "cuda")]
            TargetName::A100 | TargetName::H100 | TargetName::H200 => Ok(DeviceKind::Cuda),
            #[cfg(not(feature = "cuda"))]
            TargetName::A100 | TargetName::H100 | TargetName::H200 => Err(DeviceError::NotBuilt { target }),
        }
    }
}
