//! The command line.

mod bench;
mod device;
mod lines;
mod place;
mod workers;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use samp_abi::TargetName;
use samp_gpu_bench::{
    Gpu,
    bench::report::Report,
    code, kernel_set,
    plan::{Reference, agreement},
    suite,
};
use samp_kernel_cases::KernelCase;
use samp_kernels::target::Target;
use samp_nvrtc::Nvrtc;
use samp_runtime::{Engine, EngineOptions, device::gpu::Driver, open};

use bench::Bench;
use device::GpuJob;
use lines::Lines;
use place::{Device, Place, gpu_target};
use workers::FirstUnit;

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
        first: FirstUnit,
    },
    /// Shows each kernel against its reference
    Kernels {
        #[command(flatten)]
        place: Place,
        /// Only cases whose name holds this
        #[arg(long, default_value = "")]
        only: String,
        #[command(flatten)]
        first: FirstUnit,
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

/// Does what the command line asks for; false if something is not as it must be.
pub fn run(cli: Cli) -> Result<bool> {
    match cli.command {
        Command::Prepare { target, output } => prepare(target, &output),
        Command::Conformance { place, first } => {
            first.run(&place, |from| Suite { cases: suite::conformance(), from })
        }
        Command::Kernels { place, only, first } => first.run(&place, |from| {
            let mut cases = suite::kernels();
            cases.retain(|case| case.name.contains(&only));
            Suite { cases, from }
        }),
        Command::Plan { plan, reference, tolerance, device } => {
            check_plan(&plan, &reference, tolerance, device)
        }
        Command::Table { bench, source, output } => table(&bench, &source, &output),
        Command::Bench(bench) => bench.run(),
    }
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
    let measured = report.measured(source)?;
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
struct Suite {
    cases: Vec<KernelCase>,
    from: usize,
}

impl GpuJob for Suite {
    fn run<D: Driver>(self, gpu: &Gpu<'_, D>) -> Result<bool> {
        gpu.run(self.cases.get(self.from..).unwrap_or_default(), &Lines)?;
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
