//! The command line.

mod bench;

use std::{
    path::{Path, PathBuf},
    process::Command as Process,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use samp_abi::TargetName;
use samp_gpu_bench::{
    Gpu,
    bench::report::Report,
    code, kernel_set,
    outcome::Summary,
    plan::{Reference, agreement},
    suite,
    supervise::{Limits, supervise},
};
use samp_kernel_cases::KernelCase;
use samp_kernels::target::Target;
use samp_nvrtc::Nvrtc;
use samp_runtime::{Engine, EngineOptions, device::gpu::Driver, open};

use crate::device::{self, Device, Job, gpu_target};
use bench::Bench;

/// Shows on a GPU that samp's kernels compute what they must, and measures how fast.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compiles all kernels for a target into a folder, on a machine with NVRTC and without a GPU
    Prepare {
        /// h100, h200 or a100
        #[arg(long, value_parser = gpu_target)]
        target: TargetName,
        /// The folder
        #[arg(short)]
        output: PathBuf,
    },
    /// Shows each wrapper of the device against its definition
    Conformance {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        part: Part,
    },
    /// Shows each kernel against its reference
    Kernels {
        #[command(flatten)]
        place: Place,
        /// Only cases whose name holds this
        #[arg(long, default_value = "")]
        only: String,
        #[command(flatten)]
        part: Part,
    },
    /// Shows a plan of a small model against another's logits
    Plan {
        /// The plan
        plan: PathBuf,
        /// Its model's `reference.safetensors`: `input_ids`, i64 [texts, tokens], and `logits`, f32 [texts, tokens, vocab]
        #[arg(long)]
        reference: PathBuf,
        /// How far a logit may be off: the default suits weights and activations of f16
        #[arg(long, default_value_t = 0.02)]
        tolerance: f32,
        /// The GPU
        #[arg(long, value_enum, default_value = "cuda")]
        device: Device,
    },
    /// Measures
    #[command(subcommand)]
    Bench(Bench),
    /// Turns what `bench kernels` wrote into the table that the compiler's cost model reads, kernels/src/targets/NAME.measured.json
    Table {
        /// What `bench kernels --json` wrote
        bench: PathBuf,
        /// When and on what it was measured: date, device, driver, command
        #[arg(long)]
        source: String,
        /// The table
        #[arg(short)]
        output: PathBuf,
    },
}

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

/// Which units this process does.
#[derive(Clone, Copy, Debug, Args)]
struct Part {
    /// Does the units from this number on, in this process; otherwise all, in processes of their own
    #[arg(long, hide = true)]
    from: Option<usize>,
}

/// Does what the command line asks for; false if something is not as it must be.
pub fn run(cli: Cli) -> Result<bool> {
    match cli.command {
        Command::Prepare { target, output } => prepare(target, &output),
        Command::Conformance { place, part } => part.run(&place, |from| Suite(suite::conformance(), from)),
        Command::Kernels { place, only, part } => part.run(&place, |from| {
            let mut cases = suite::kernels();
            cases.retain(|case| case.name.contains(&only));
            Suite(cases, from)
        }),
        Command::Plan { plan, reference, tolerance, device } => {
            check_plan(&plan, &reference, tolerance, device)
        }
        Command::Table { bench, source, output } => table(&bench, &source, &output),
        Command::Bench(bench) => bench.run(),
    }
}

impl Part {
    /// Does units from a number on, or has this program do all of them, in a new process after one that fails.
    fn run<J: Job>(self, place: &Place, job: impl FnOnce(usize) -> J) -> Result<bool> {
        if let Some(from) = self.from {
            return device::on(place, job(from));
        }
        let program = std::env::current_exe().context("looking for this program")?;
        let worker = |from: usize| {
            let mut worker = Process::new(&program);
            worker.args(std::env::args_os().skip(1)).args(["--from", &from.to_string()]);
            Ok(worker)
        };
        let Summary { held, wrong, left_out } =
            supervise(worker, limits(place.device), &mut |line| println!("{line}"))?;
        println!("{held} held, {} wrong, {left_out} not for this GPU", wrong.len());
        Ok(wrong.is_empty() && held > 0)
    }
}

/// On a GPU a unit takes a fraction of a second.
fn limits(device: Device) -> Limits {
    let unit = if device == Device::Cuda { Duration::from_secs(10) } else { Duration::from_secs(3600) };
    Limits { start: Duration::from_secs(60), unit, restarts: 8 }
}

fn check_plan(path: &Path, reference: &Path, tolerance: f32, device: Device) -> Result<bool> {
    let bytes = std::fs::read(reference).with_context(|| format!("reading {}", reference.display()))?;
    let reference = Reference::read(&bytes).with_context(|| reference.display().to_string())?;
    let mut engine = Engine::new(Arc::new(open(path)?), device.kind()?, EngineOptions::default())?;
    let found = agreement(&mut engine, &reference)?;
    println!("{found}");
    Ok(found.within(tolerance))
}

fn table(bench: &Path, source: &str, output: &Path) -> Result<bool> {
    let report = Report::read(bench).with_context(|| format!("reading {}", bench.display()))?;
    let measured = report.measured(source).map_err(anyhow::Error::msg)?;
    ensure!(!measured.rows.is_empty(), "{}: expected times of kernels, found none", bench.display());
    let mut json = serde_json::to_string_pretty(&measured)?;
    json.push('\n');
    std::fs::write(output, json).with_context(|| format!("writing {}", output.display()))?;
    println!("{} times in {}", measured.rows.len(), output.display());
    Ok(true)
}

fn prepare(target: TargetName, folder: &Path) -> Result<bool> {
    let sources = kernel_set::sources(Target::of(target))?;
    let bytes = code::prepare(Nvrtc::find()?, &sources, target, folder)?;
    println!("{} kernels for {target}, {:.1} MB, in {}", sources.len(), bytes as f64 / 1e6, folder.display());
    Ok(true)
}

/// Cases, and the number of the first to be run.
struct Suite(Vec<KernelCase>, usize);

impl Job for Suite {
    fn run<D: Driver>(self, gpu: &Gpu<'_, D>) -> Result<bool> {
        let Suite(cases, from) = self;
        gpu.run(cases.get(from..).unwrap_or_default(), |line| println!("{line}"))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(text.split(' '))
    }

    #[test]
    fn commands_are_read() {
        for text in [
            "samp-gpu prepare --target a100 -o folder",
            "samp-gpu conformance --code folder",
            "samp-gpu kernels --device emulate --only nf4",
            "samp-gpu plan tiny.plan --reference reference.safetensors --tolerance 0.1",
            "samp-gpu bench kernels --formats nf4,fp8_e4m3 --tokens 1,16 --prompts 2048 --json out.json",
            "samp-gpu bench decode --shape llama-3-8b --recipe uniform:nf4",
            "samp-gpu bench decode --shape llama-3-8b --recipe uniform:bf16",
            "samp-gpu kernels --code folder --from 7",
            "samp-gpu bench throughput --shape llama-3-70b --batch 64 --context 2048 --kv fp8",
        ] {
            parsed(text).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn what_is_no_gpu_is_refused() {
        let error = parsed("samp-gpu prepare --target cpu -o folder").unwrap_err().to_string();
        assert!(error.contains("cpu is not a GPU"), "{error}");
        assert!(parsed("samp-gpu bench decode").is_err());
        assert!(parsed("samp-gpu bench kernels --formats nf5").is_err());
    }
}
