//! The devices by name.

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
    /// Whether it computes by functions of the host's kernels, in the host's memory.
    pub fn is_host(self) -> bool {
        matches!(self, DeviceKind::Cpu | DeviceKind::Reference)
    }
}
