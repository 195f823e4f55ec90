//! Which GPU: a real one, or the emulated one in builds with the feature `emulate`.

use anyhow::{Context, Result, ensure};
use samp_gpu_bench::{
    Gpu,
    clock::{Clock, Work},
    code::Code,
};
use samp_kernels::target::Target;
use samp_runtime::device::gpu::{
    Driver, DriverError,
    driver::nvidia::{Cuda, Event},
};

use super::place::{Device, Place};

/// What is done on a GPU, whichever it is.
pub trait GpuJob {
    /// Does it; false if something is not as it must be.
    fn run<D: Driver>(self, gpu: &Gpu<'_, D>) -> Result<bool>;
}

/// Does a job where it is asked for.
pub fn on(place: &Place, job: impl GpuJob) -> Result<bool> {
    let target = Target::of(place.target);
    match place.device {
        Device::Cuda => cuda(place, target, job),
        Device::Emulate => emulate(target, job),
    }
}

fn cuda(place: &Place, target: &'static Target, job: impl GpuJob) -> Result<bool> {
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
fn emulate(target: &'static Target, job: impl GpuJob) -> Result<bool> {
    use samp_emulator::{Build, Options};
    use samp_gpu_bench::clock::HostClock;
    use samp_runtime::{cache_dir::cache_dir, device::gpu::Emulated};

    let driver = Emulated::new(&cache_dir("emulated"), Build::Plain, Options::default());
    job.run(&Gpu { driver: &driver, clock: &HostClock(&driver), code: Code::Source, target })
}

#[cfg(not(feature = "emulate"))]
fn emulate(_: &'static Target, _: impl GpuJob) -> Result<bool> {
    super::place::no_emulator()
}
