//! The flags of the device that a plan runs on.

use samp_runtime::{DeviceKind, Engine, EngineError, EngineOptions, OpenPlan};

use crate::progress_bar::Bar;

/// A device, and how much of it may be used.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct DeviceArgs {
    /// Where to execute
    #[arg(long, default_value_t = DeviceKind::Cpu)]
    device: DeviceKind,
    /// Part of a GPU's memory that may be used in all, by this plan and by others
    #[arg(long, value_name = "PART", default_value_t = usual_part(), value_parser = part)]
    gpu_memory_utilization: f64,
}

impl DeviceArgs {
    /// A device with the usual part of its memory.
    pub fn for_device(device: DeviceKind) -> DeviceArgs {
        DeviceArgs { device, gpu_memory_utilization: usual_part() }
    }

    /// An engine with a cache for so many positions. A bar shows how a GPU takes the weights.
    pub fn load(&self, plan: OpenPlan, kv_tokens: u64) -> Result<Engine, EngineError> {
        let bar = Bar::new(false);
        let options = EngineOptions {
            kv_tokens: Some(kv_tokens),
            gpu_memory_utilization: self.gpu_memory_utilization,
            ..EngineOptions::default()
        };
        Engine::load(plan.into(), self.device, options, &bar)
    }
}

fn usual_part() -> f64 {
    EngineOptions::default().gpu_memory_utilization
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| *part > 0.0 && *part <= 1.0);
    part.ok_or_else(|| format!("expected a number above 0 and up to 1, such as 0.9, found {text}"))
}
