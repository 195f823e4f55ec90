//! Units in processes of their own: the worker that does them from a number on, and who starts it again.

use std::{process::Command as Process, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use samp_gpu_bench::{
    outcome::Summary,
    supervise::{Limits, supervise},
};

use super::{
    device::{self, GpuJob},
    lines::Lines,
    place::{Device, Place},
};

/// Which units this process does.
#[derive(Clone, Copy, Debug, Args)]
pub struct FirstUnit {
    /// Does the units from this number on, in this process; otherwise all, in processes of their own
    #[arg(long, hide = true)]
    from: Option<usize>,
}

impl FirstUnit {
    /// Does units from a number on, or has this program do all of them, in a new process after one that fails.
    pub fn run<J: GpuJob>(self, place: &Place, job: impl FnOnce(usize) -> J) -> Result<bool> {
        if let Some(from) = self.from {
            return device::on(place, job(from));
        }
        let program = std::env::current_exe().context("looking for this program")?;
        let worker = |from: usize| {
            let mut worker = Process::new(&program);
            worker.args(std::env::args_os().skip(1)).args(["--from", &from.to_string()]);
            Ok(worker)
        };
        let Summary { passed, failures, skipped } = supervise(worker, limits(place.device), &Lines)?;
        println!("{passed} held, {} wrong, {skipped} not for this GPU", failures.len());
        Ok(failures.is_empty() && passed > 0)
    }
}

/// On a GPU a unit takes a fraction of a second.
fn limits(device: Device) -> Limits {
    let unit = if device == Device::Cuda { Duration::from_secs(10) } else { Duration::from_secs(3600) };
    Limits { start: Duration::from_secs(60), unit, restarts: 8 }
}
