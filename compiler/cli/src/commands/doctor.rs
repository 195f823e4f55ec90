//! `samp doctor`: what this machine has and lacks, each with its remedy.

use std::fmt::Display;

use samp_abi::TargetName;
use samp_kernels::simd::Width;
use samp_nvrtc::{Nvrtc, NvrtcError};
use samp_runtime::{
    device::gpu::driver::{DriverError, nvidia::Cuda},
    proc::available_memory,
};
use serde::Serialize;

use crate::output::{Outcome, print, print_json};
use samp_compiler::lower::size::Bytes;

/// Show what this machine has and lacks for samp, each with its remedy
///
/// Exits with 1 if something that every use needs is missing.
#[derive(clap::Args)]
pub struct Args {
    /// Print the checks as JSON
    #[arg(long)]
    json: bool,
}

/// One thing looked for.
#[derive(Serialize, schemars::JsonSchema)]
pub struct Check {
    name: &'static str,
    status: Status,
    found: String,
    /// What does not work as it is, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    /// What was found, or why it was not; `without` says what does not work then, and the last part of the error, which
    /// `remedy` gives, what to do about it.
    fn new<E: Display>(
        name: &'static str,
        found: Result<String, E>,
        remedy: impl Fn(&E) -> Option<&'static str>,
        without: &'static str,
    ) -> Check {
        let error = match found {
            Ok(found) => return Check { name, status: Status::Ok, found, remedy: None },
            Err(error) => error,
        };
        let said = error.to_string();
        let (found, remedy) = match remedy(&error) {
            Some(remedy) => {
                let found = said.strip_suffix(remedy).and_then(|said| said.strip_suffix("; "));
                (found.unwrap_or(&said).to_owned(), format!("{without}: {remedy}"))
            }
            None => (said, without.to_owned()),
        };
        Check { name, status: Status::Lacking, found, remedy: Some(remedy) }
    }

    fn render(&self) -> String {
        let mark = match self.status {
            Status::Ok => "ok",
            Status::Lacking => "lacking",
            Status::Missing => "MISSING",
        };
        let remedy = self.remedy.as_ref().map_or(String::new(), |remedy| format!("{:26}{remedy}\n", ""));
        format!("{mark:<8} {:<16} {}\n{remedy}", self.name, self.found)
    }
}

#[derive(Serialize, Clone, Copy, PartialEq, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    /// Something works without it, or slower.
    Lacking,
    /// Nothing works without it.
    Missing,
}

/// Looks and reports.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let checks = [vector_unit(), threads(), memory(), disk(), gpu(), nvrtc(), mlir_opt()];
    if args.json {
        print_json(&checks)?;
    } else {
        let lines: Vec<String> = checks.iter().map(Check::render).collect();
        let names: Vec<&str> = TargetName::ALL.iter().map(|t| t.name()).collect();
        print(&format!("{}\ntargets known: {}\n", lines.concat(), names.join(", ")))?;
    }
    let missing = checks.iter().any(|c| c.status == Status::Missing);
    Ok(if missing { Outcome::Findings } else { Outcome::Clean })
}

fn vector_unit() -> Check {
    let width = Width::detect();
    let portable = width == Width::Portable;
    Check {
        name: "vector unit",
        status: if portable { Status::Lacking } else { Status::Ok },
        found: format!("{width:?}"),
        remedy: portable
            .then(|| "kernels run, with the same results, but slowly: use a CPU with AVX2 and FMA".into()),
    }
}

fn threads() -> Check {
    let found = std::thread::available_parallelism().map_or(1, usize::from);
    Check { name: "threads", status: Status::Ok, found: found.to_string(), remedy: None }
}

fn memory() -> Check {
    let info = rustix::system::sysinfo();
    let total = Bytes(info.totalram as u64 * u64::from(info.mem_unit));
    let unused = info.freeram as u64 * u64::from(info.mem_unit);
    // What holds copies of files counts as used in `freeram`, and is given to whoever asks.
    let available = Bytes(available_memory().unwrap_or(unused));
    Check {
        name: "memory",
        status: Status::Ok,
        found: format!("{total}, {available} available"),
        remedy: None,
    }
}

fn disk() -> Check {
    let here = std::env::current_dir().ok().and_then(|dir| rustix::fs::statvfs(&dir).ok());
    let found = here.map_or("unknown".into(), |s| format!("{} free here", Bytes(s.f_bavail * s.f_frsize)));
    Check { name: "disk", status: Status::Ok, found, remedy: None }
}

fn gpu() -> Check {
    let found = Cuda::open(0).map(|cuda| {
        let info = cuda.device_info();
        let ((major, minor), memory) = (info.compute_capability, Bytes(info.total_memory));
        format!("{}, compute capability {major}.{minor}, {memory}", info.name)
    });
    Check::new(
        "GPU",
        found,
        DriverError::remedy,
        "plans for GPUs can be made here, and run under --device emulate, but not on a GPU",
    )
}

fn nvrtc() -> Check {
    let found = Nvrtc::find().map(|nvrtc| nvrtc.library().display().to_string());
    Check::new("NVRTC 13.0", found, NvrtcError::remedy, "plans for GPUs cannot be made here")
}

fn mlir_opt() -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("mlir-opt-22")).find(|p| p.is_file());
    let absent = found.is_none();
    Check {
        name: "mlir-opt-22",
        status: if absent { Status::Lacking } else { Status::Ok },
        found: found.map_or("not found".into(), |p| p.display().to_string()),
        remedy: absent.then(|| "only samp's own tests use it: apt-get install mlir-22-tools".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_and_its_remedy_are_said_apart() {
        let lacking =
            Check::new("GPU", Err("no GPU: no driver; install it"), |_| Some("install it"), "none runs");
        assert_eq!(
            (lacking.found.as_str(), lacking.remedy.as_deref()),
            ("no GPU: no driver", Some("none runs: install it"))
        );
        let lacking = Check::new("GPU", Err("no GPU"), |_| None, "none runs");
        assert_eq!((lacking.found.as_str(), lacking.remedy.as_deref()), ("no GPU", Some("none runs")));
        let found: Check = Check::new("GPU", Ok::<_, String>("one".into()), |_| None, "none runs");
        assert!(found.status == Status::Ok && found.remedy.is_none());
    }
}
