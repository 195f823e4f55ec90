//! Which GPU: a real one, or the emulated one in builds with the feature `emulate`.

use anyhow::{Result, bail};
use samp_abi::TargetName;
use samp_gpu::{Gpu, clock::HostClock, code::Code};
use samp_kernels::target::Target;
use samp_runtime::device::gpu::Driver;

use crate::cli::Place;

/// What is done on a GPU, whichever it is.
pub trait Job {
    /// Does it; false if something is not as it must be.
    fn run<D: Driver>(self, gpu: &Gpu<'_, D>) -> Result<bool>;
}

/// Does a job where it is asked for.
pub fn on(place: &Place, job: impl Job) -> Result<bool> {
    let target = Target::of(place.target);
    match place.device {
        Device::Cuda => cuda(place, target, job),
        Device::Emulate => emulate(target, job),
    }
}

/// The GPUs that this build knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    /// The first GPU of this machine.
    Cuda,
    /// The emulator: slow, and its times say nothing.
    Emulate,
}

fn cuda(place: &Place, _target: &'static Target, _job: impl Job) -> Result<bool> {
    let Some(folder) = &place.code else {
        bail!("--code is missing: the folder that `samp-gpu prepare` filled")
    };
    Code::folder(folder, place.target)?;
    bail!("this build has no CUDA driver; use --device emulate")
}

#[cfg(feature = "emulate")]
fn emulate(target: &'static Target, job: impl Job) -> Result<bool> {
    use samp_emulator::{Build, Options};
    use samp_runtime::{cache::cache_folder, device::gpu::Emulated};

    let driver = Emulated::new(&cache_folder("emulated"), Build::Plain, Options::default());
    job.run(&Gpu { driver: &driver, clock: &HostClock(&driver), code: Code::Source, target })
}

#[cfg(not(feature = "emulate"))]
fn emulate(_: &'static Target, _: impl Job) -> Result<bool> {
    bail!("this build has no emulator; build with `--features emulate`")
}

/// The target of a name, which must be a GPU's.
pub fn gpu_target(text: &str) -> Result<TargetName, String> {
    let target: TargetName = text.parse().map_err(|error| format!("{error}"))?;
    match Target::of(target).compute_capability {
        Some(_) => Ok(target),
        None => Err(format!("{target} is not a GPU; choose h100, h200 or a100")),
    }
}
