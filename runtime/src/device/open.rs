//! Opening a device for a plan: whether the plan is for it, the room that it has, and the plan loaded onto it.

use std::{ops::RangeInclusive, sync::Arc};

use samp_abi::TargetName;

#[cfg(feature = "cuda")]
use super::gpu::{Driver, DriverError, Room, driver::nvidia::Cuda};
#[cfg(any(feature = "cuda", feature = "emulate"))]
use super::gpu::{GpuDevice, StoredPlan};
use super::{
    bind::KernelImpl, error::DeviceError, executable::Executable, host::HostDevice, kind::DeviceKind,
    large_pages::LargePageWeights, step::Device, threaded::Threaded,
};
use crate::{plan::OpenPlan, progress::Progress};

/// A device that is there and that a plan is for, before it takes anything of the plan.
pub struct OpenDevice(Opened);

enum Opened {
    Host(KernelImpl),
    #[cfg(feature = "emulate")]
    Emulate(Box<super::gpu::Emulated>),
    #[cfg(feature = "cuda")]
    Cuda(Box<Cuda>),
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

    /// Opens the device, if there is one and the plan is for it.
    pub fn open(self, plan: &OpenPlan) -> Result<OpenDevice, DeviceError> {
        let target = plan.manifest().target;
        let other_target = DeviceError::Target { target, device: self };
        Ok(OpenDevice(match self {
            DeviceKind::Cpu if target == TargetName::Cpu => Opened::Host(KernelImpl::Optimized),
            DeviceKind::Cpu => return Err(other_target),
            DeviceKind::Reference => Opened::Host(KernelImpl::Reference),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulate => {
                compute_capability(target).ok_or(other_target)?;
                Opened::Emulate(Box::new(emulator()))
            }
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda => {
                let expected = compute_capability(target).ok_or(other_target)?;
                let cuda = Cuda::open(0).map_err(|error| absent(target, error))?;
                suits(target, expected, cuda.device_info())?;
                Opened::Cuda(Box::new(cuda))
            }
        }))
    }

    /// Opens the device and loads `plan` onto it, as [`OpenDevice::load`] does.
    pub fn load(
        self,
        plan: Arc<OpenPlan>,
        kv_pages: u32,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Device>, DeviceError> {
        self.open(&plan)?.load(plan, kv_pages, progress)
    }
}

impl OpenDevice {
    /// Pages of a KV cache that the device has room for beside `plan`, as many of `wanted` as fit. Host memory is taken only
    /// as it is filled; of a GPU's, the part `utilization` may be used in all.
    pub fn kv_pages(
        &self,
        plan: &OpenPlan,
        wanted: RangeInclusive<u32>,
        utilization: f64,
    ) -> Result<u32, DeviceError> {
        match &self.0 {
            #[cfg(feature = "cuda")]
            Opened::Cuda(cuda) => {
                let (total, free) = (cuda.device_info().total_memory, cuda.free_memory()?);
                Ok(Room { total, free, utilization }.kv_pages(plan.manifest(), wanted)?)
            }
            _ => {
                let _ = (plan, utilization);
                Ok(*wanted.end())
            }
        }
    }

    /// Readies the device for `plan` with a cache of `kv_pages` pages. `progress` hears of the weights that a GPU takes; the
    /// CPU reads them where they are.
    pub fn load(
        self,
        plan: Arc<OpenPlan>,
        kv_pages: u32,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Device>, DeviceError> {
        Ok(match self.0 {
            Opened::Host(kernels) => {
                let _ = progress;
                let executable = Executable::from_plan(&plan);
                match kernels {
                    KernelImpl::Optimized => {
                        let weights = LargePageWeights::new(plan, &executable.program);
                        Box::new(Threaded::new(HostDevice::load(executable, weights, kv_pages, kernels)?)?)
                    }
                    KernelImpl::Reference => Box::new(HostDevice::load(executable, plan, kv_pages, kernels)?),
                }
            }
            #[cfg(feature = "emulate")]
            Opened::Emulate(driver) => {
                Box::new(GpuDevice::load(*driver, &StoredPlan { plan: &plan, progress }, kv_pages)?)
            }
            #[cfg(feature = "cuda")]
            Opened::Cuda(driver) => {
                Box::new(GpuDevice::load(*driver, &StoredPlan { plan: &plan, progress }, kv_pages)?)
            }
        })
    }
}

#[cfg(any(feature = "cuda", feature = "emulate"))]
fn compute_capability(target: TargetName) -> Option<(u32, u32)> {
    samp_kernels::target::Target::of(target).compute_capability
}

/// The emulated GPU, which keeps the kernels that it compiles.
#[cfg(feature = "emulate")]
fn emulator() -> super::gpu::Emulated {
    use samp_emulator::{Build, Options};
    super::gpu::Emulated::new(&crate::cache_dir::cache_dir("emulated"), Build::Plain, Options::default())
}

/// That there is no GPU is said of the plan; other refusals are the driver's own.
#[cfg(feature = "cuda")]
fn absent(target: TargetName, error: DriverError) -> DeviceError {
    match error {
        source @ DriverError::Absent { .. } => DeviceError::Absent { target, source },
        other => other.into(),
    }
}

/// Refuses a GPU that the code of a plan for `target` does not run on.
#[cfg(feature = "cuda")]
fn suits(
    target: TargetName,
    expected: (u32, u32),
    info: &super::gpu::driver::nvidia::DeviceInfo,
) -> Result<(), DeviceError> {
    let found = info.compute_capability;
    if found == expected {
        return Ok(());
    }
    Err(DeviceError::Capability { target, expected, name: info.name.clone(), found })
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use samp_kernels::target::Target;

    use super::{super::gpu::driver::nvidia::DeviceInfo, *};

    #[test]
    fn another_compute_capability_is_refused() {
        let [a100, h100] = [TargetName::A100, TargetName::H100].map(Target::of);
        let expected = |target: &Target| target.compute_capability.unwrap();
        let info = DeviceInfo {
            name: "NVIDIA A100".into(),
            compute_capability: expected(a100),
            driver: (13, 0),
            total_memory: a100.memory_bytes.unwrap(),
            multiprocessors: a100.units,
            l2_bytes: 40 << 20,
            shared_bytes_per_block: a100.shared_memory_bytes,
        };
        suits(a100.name, expected(a100), &info).unwrap();
        let refusal = suits(h100.name, expected(h100), &info).unwrap_err().to_string();
        for part in ["h100", "9.0", "8.0", "A100"] {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
    }
}
