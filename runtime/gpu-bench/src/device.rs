//! Which GPU: a real one, or the emulated one in builds with the feature `emulate`.

use anyhow::{Context, Result, ensure};
use samp_abi::TargetName;
use samp_gpu_bench::{
    Gpu,
    clock::{Clock, Work},
    code::Code,
};
use samp_kernels::target::Target;
use samp_runtime::{
    DeviceKind,
    device::{
        gpu::driver::nvidia::{Cuda, Event},
        gpu::{Driver, DriverError},
    },
};

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

impl Device {
    /// As the runtime calls it.
    pub fn kind(self) -> Result<DeviceKind> {
        match self {
            Device::Cuda => Ok(DeviceKind::Cuda),
            #[cfg(feature = "emulate")]
            Device::Emulate => Ok(DeviceKind::Emulate),
            #[cfg(not(feature = "emulate"))]
            Device::Emulate => no_emulator(),
        }
    }
}

fn cuda(place: &Place, target: &'static Target, job: impl Job) -> Result<bool> {
    let folder =
        place.code.as_deref().context("--code is missing: the folder that `samp-gpu prepare` filled")?;
    let code = Code::folder(folder, place.target)?;
    let driver = Cuda::open(0)?;
    let info = driver.device_info();
    eprintln!(
        "{}: {} multiprocessors, {:.1} GB",
        info.name,
        info.multiprocessors,
        info.total_memory as f64 / 1e9
    );
    let (expected, found) = (target.compute_capability, info.compute_capability);
    ensure!(
        expected == Some(found),
        "{} has compute capability {expected:?} and this GPU {found:?}; give its --target",
        target.name
    );
    if info.multiprocessors != target.units {
        eprintln!("warning: launches are made for {} multiprocessors", target.units);
    }
    let clock = Events { driver: &driver, start: driver.event()?, end: driver.event()? };
    job.run(&Gpu { driver: &driver, clock: &clock, code, target })
}

/// The GPU's own clock.
struct Events<'a> {
    driver: &'a Cuda,
    start: Event,
    end: Event,
}

impl Clock for Events<'_> {
    fn time(&self, work: &mut Work<'_>) -> std::result::Result<f64, DriverError> {
        self.driver.record_event(&self.start)?;
        work()?;
        self.driver.record_event(&self.end)?;
        Ok(f64::from(self.driver.elapsed_ms(&self.start, &self.end)?) * 1e6)
    }
}

#[cfg(feature = "emulate")]
fn emulate(target: &'static Target, job: impl Job) -> Result<bool> {
    use samp_emulator::{Build, Options};
    use samp_gpu_bench::clock::HostClock;
    use samp_runtime::{cache_dir::cache_dir, device::gpu::Emulated};

    let driver = Emulated::new(&cache_dir("emulated"), Build::Plain, Options::default());
    job.run(&Gpu { driver: &driver, clock: &HostClock(&driver), code: Code::Source, target })
}

#[cfg(not(feature = "emulate"))]
fn emulate(_: &'static Target, _: impl Job) -> Result<bool> {
    no_emulator()
}

#[cfg(not(feature = "emulate"))]
fn no_emulator<T>() -> Result<T> {
    anyhow::bail!("this build has no emulator; build with `--features emulate`")
}

/// The target of a name, which must be a GPU's.
pub fn gpu_target(text: &str) -> Result<TargetName, String> {
    let target: TargetName = text.parse().map_err(|error| format!("{error}"))?;
    match Target::of(target).compute_capability {
        Some(_) => Ok(target),
        None => Err(format!("{target} is not a GPU; choose h100, h200 or a100")),
    }
}
