//! Where the work is done: the GPU, its target, and its machine code.

use std::path::PathBuf;

use clap::Args;
use samp_abi::TargetName;
use samp_gpu_bench::code::CodeError;
use samp_kernels::target::Target;
use samp_runtime::DeviceKind;

/// Where it is done.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The GPU
    #[arg(long, value_enum, default_value = "cuda")]
    pub device: Device,
    /// What the GPU is
    #[arg(long, value_parser = gpu_target, default_value = "h200")]
    pub target: TargetName,
    /// The folder that `prepare` filled
    #[arg(long)]
    pub code: Option<PathBuf>,
}

/// The GPUs that this build knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    /// The first GPU of this machine.
    Cuda,
    /// The emulator: slow, and its times say nothing.
    Emulate,
}

impl Device {
    /// As the runtime calls it.
    pub fn kind(self) -> anyhow::Result<DeviceKind> {
        match self {
            Device::Cuda => Ok(DeviceKind::Cuda),
            #[cfg(feature = "emulate")]
            Device::Emulate => Ok(DeviceKind::Emulate),
            #[cfg(not(feature = "emulate"))]
            Device::Emulate => no_emulator(),
        }
    }
}

#[cfg(not(feature = "emulate"))]
pub(super) fn no_emulator<T>() -> anyhow::Result<T> {
    anyhow::bail!("this build has no emulator; build with `--features emulate`")
}

/// The target of a name, which must be a GPU's.
pub fn gpu_target(text: &str) -> anyhow::Result<TargetName> {
    let target: TargetName = text.parse()?;
    match Target::of(target).compute_capability {
        Some(_) => Ok(target),
        None => Err(CodeError::Target(target).into()),
    }
}
