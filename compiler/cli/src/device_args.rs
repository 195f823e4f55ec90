//! The flags of the device that a plan runs on, and of the threads that compute.

use samp_runtime::{
    CpuList, DeviceKind, Engine, EngineError, EngineOptions, OpenPlan, ThreadsError, check_threads,
    set_affinity, set_threads,
};

use crate::{named_values::one_of, progress_bar::Bar};

/// A device, and how much of it may be used.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct DeviceArgs {
    /// Where to execute [default: what the plan is for, the CPU or the first GPU]
    #[arg(long, value_name = "DEVICE", value_parser = one_of::<DeviceKind>(DeviceKind::ALL.map(DeviceKind::name)))]
    device: Option<DeviceKind>,
    /// Part of a GPU's memory that may be used in all, by this plan and by others
    #[arg(long, value_name = "PART", default_value_t = usual_part(), value_parser = part)]
    gpu_memory_utilization: f64,
}

impl DeviceArgs {
    /// A device with the usual part of its memory.
    pub fn for_device(device: DeviceKind) -> DeviceArgs {
        DeviceArgs { device: Some(device), gpu_memory_utilization: usual_part() }
    }

    /// The device that was asked for.
    pub fn kind(&self) -> Option<DeviceKind> {
        self.device
    }

    /// Part of a GPU's memory that may be used in all.
    pub fn gpu_memory_utilization(&self) -> f64 {
        self.gpu_memory_utilization
    }

    /// An engine with a cache for so many positions, on the device that was asked for or else the one that the plan is for. A bar shows how a GPU takes the weights.
    pub fn load(&self, plan: OpenPlan, kv_tokens: u64) -> Result<Engine, EngineError> {
        let bar = Bar::of_bytes(false);
        let options = EngineOptions {
            kv_tokens: Some(kv_tokens),
            gpu_memory_utilization: self.gpu_memory_utilization,
            ..EngineOptions::default()
        };
        let device = match self.device {
            Some(device) => device,
            None => DeviceKind::for_target(plan.manifest().target)?,
        };
        Engine::load(plan.into(), device, options, &bar)
    }
}

/// The threads that compute, and the CPUs that they compute on.
#[derive(Clone, Debug, clap::Args)]
pub struct ThreadArgs {
    /// Threads of the CPU to compute with, at most 1024 [default: one for each core, or for each of --cpu-affinity]
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<usize>,
    /// CPUs to compute on, each thread on one of them: 0-3,8 [default: all that the process may use, for any thread]
    #[arg(long, value_name = "LIST")]
    cpu_affinity: Option<CpuList>,
}

impl ThreadArgs {
    /// Starts the threads of this process: before all work, and once.
    pub fn start(&self) -> Result<(), ThreadsError> {
        if let Some(cpus) = &self.cpu_affinity {
            set_affinity(cpus.clone())?;
        }
        set_threads(self.threads)
    }
}

/// A number of threads that work can be shared among.
pub fn threads(text: &str) -> Result<usize, String> {
    let count = text.parse().map_err(|error| format!("expected a number: {error}"))?;
    check_threads(count).map(usize::from).map_err(|error| error.to_string())
}

fn usual_part() -> f64 {
    EngineOptions::default().gpu_memory_utilization
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| *part > 0.0 && *part <= 1.0);
    part.ok_or_else(|| format!("expected a number above 0 and up to 1, such as 0.9, found {text}"))
}
