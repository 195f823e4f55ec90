//! The command line.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use samp_abi::{ElementType, Format, TargetName};
use samp_gpu::{
    Gpu,
    bench::{
        attention::{Kv, Load},
        report::Report,
        step::{Job as Step, What},
    },
    code,
    plan::{Reference, agreement},
    shapes::{Recipe, Shape},
    suite, wanted,
};
use samp_kernels::{target::Target, trial::Trial};
use samp_nvrtc::Nvrtc;
use samp_runtime::{Engine, EngineOptions, device::gpu::Driver, open};

use crate::device::{self, Device, Job, gpu_target};

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
    },
    /// Shows each kernel against its reference
    Kernels {
        #[command(flatten)]
        place: Place,
        /// Only trials whose name holds this
        #[arg(long, default_value = "")]
        only: String,
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

#[derive(Debug, Subcommand)]
enum Bench {
    /// Linears and decode attention in the shapes of models
    Kernels {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        to: Output,
        /// Models
        #[arg(long, value_delimiter = ',', default_value = "llama-3-8b,llama-3-70b")]
        shapes: Vec<Shape>,
        /// Formats of decoder linears; the head is f16
        #[arg(long, value_delimiter = ',', default_value = "nf4,int4,fp8_e4m3,f16")]
        formats: Vec<Format>,
        /// Numbers of tokens
        #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16,32,64,128,256")]
        tokens: Vec<u32>,
        /// Sequences of attention
        #[arg(long, value_delimiter = ',', default_value = "1,8,32,128")]
        batches: Vec<u32>,
        /// Cached positions of attention
        #[arg(long, value_delimiter = ',', default_value = "512,2048,8192")]
        contexts: Vec<u32>,
        /// TFLOPS of large f16 products, measured by another in the same run
        #[arg(long)]
        matmul_tflops: Option<f64>,
    },
    /// A step of one token for each sequence: one of 512 positions, unless told otherwise
    Decode(OfModel),
    /// A step of whole prompts: one of 2048 tokens, unless told otherwise
    Prefill(OfModel),
    /// A step of one token for each of many sequences: 128 of 2048 positions, unless told otherwise
    Throughput(OfModel),
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

#[derive(Debug, Args)]
struct Output {
    /// Writes what was measured to a file
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct OfModel {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    to: Output,
    /// The model
    #[arg(long)]
    shape: Shape,
    /// `samp` or `uniform:FORMAT`
    #[arg(long, default_value = "samp")]
    recipe: String,
    /// Sequences
    #[arg(long)]
    batch: Option<u32>,
    /// Positions of each
    #[arg(long)]
    context: Option<u32>,
    /// Format of the cache
    #[arg(long, value_enum, default_value = "f16")]
    kv: Kv,
}

/// Does what the command line asks for; false if something is not as it must be.
pub fn run(cli: Cli) -> Result<bool> {
    match cli.command {
        Command::Prepare { target, output } => prepare(target, &output),
        Command::Conformance { place } => device::on(&place, Suite(suite::conformance())),
        Command::Kernels { place, only } => {
            let mut trials = suite::kernels();
            trials.retain(|trial| trial.name.contains(&only));
            device::on(&place, Suite(trials))
        }
        Command::Bench(Bench::Kernels {
            place,
            to,
            shapes,
            formats,
            tokens,
            batches,
            contexts,
            matmul_tflops,
        }) => {
            let job = Kernels { to, shapes, formats, tokens, batches, contexts, matmul_tflops };
            device::on(&place, job)
        }
        Command::Plan { plan, reference, tolerance, device } => {
            check_plan(&plan, &reference, tolerance, device)
        }
        Command::Table { bench, source, output } => table(&bench, &source, &output),
        Command::Bench(Bench::Decode(of)) => of.run("decode", What::Decode, Load { batch: 1, context: 512 }),
        Command::Bench(Bench::Prefill(of)) => {
            of.run("prefill", What::Prefill, Load { batch: 1, context: 2048 })
        }
        Command::Bench(Bench::Throughput(of)) => {
            of.run("throughput", What::Decode, Load { batch: 128, context: 2048 })
        }
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
    let read = || -> Result<Report> { Ok(serde_json::from_slice(&std::fs::read(bench)?)?) };
    let report = read().with_context(|| format!("reading {}", bench.display()))?;
    let measured = report.measured(source).map_err(anyhow::Error::msg)?;
    ensure!(!measured.rows.is_empty(), "{}: expected times of kernels, found none", bench.display());
    let mut json = serde_json::to_string_pretty(&measured)?;
    json.push('\n');
    std::fs::write(output, json).with_context(|| format!("writing {}", output.display()))?;
    println!("{} times in {}", measured.rows.len(), output.display());
    Ok(true)
}

fn prepare(target: TargetName, folder: &Path) -> Result<bool> {
    let sources = wanted::sources(Target::of(target))?;
    let bytes = code::prepare(Nvrtc::find()?, &sources, target, folder)?;
    println!("{} kernels for {target}, {:.1} MB, in {}", sources.len(), bytes as f64 / 1e6, folder.display());
    Ok(true)
}

/// Trials to be run.
struct Suite(Vec<Trial>);

impl Job for Suite {
    fn run<D: Driver>(self, gpu: &Gpu<'_, D>) -> Result<bool> {
        let tally = gpu.run(&self.0, |line| println!("{line}"))?;
        let (held, wrong) = (tally.held, tally.wrong.len());
        println!("{held} held, {wrong} wrong, {} not for this GPU", tally.left_out);
        Ok(wrong == 0 && held > 0)
    }
}

/// What is measured of kernels.
struct Kernels {
    to: Output,
    shapes: Vec<Shape>,
    formats: Vec<Format>,
    tokens: Vec<u32>,
    batches: Vec<u32>,
    contexts: Vec<u32>,
    matmul_tflops: Option<f64>,
}

/// Bytes of the copy that memory is rated by.
const COPY_BYTES: u64 = 2 << 30;
const EMULATED_COPY_BYTES: u64 = 1 << 20;

impl Kernels {
    fn linears<D: Driver>(&self, gpu: &Gpu<'_, D>, report: &mut Report) -> Result<()> {
        let filler = gpu.filler()?;
        for shape in &self.shapes {
            for (projection, task) in wanted::tasks(*shape, &self.formats) {
                let operands = gpu.operands(&filler, &task, &self.tokens)?;
                for &tokens in &self.tokens {
                    // Activations of fp8 are multiplied many tokens at a time, on Hopper.
                    let none = task.candidates(gpu.target, tokens).is_empty();
                    if none && task.activations == ElementType::U8 {
                        continue;
                    }
                    let measured = gpu.measure_linear(&task, &operands, tokens)?;
                    let names = (shape.sizes().name, projection.name());
                    let mut rows: Vec<_> =
                        measured.iter().map(|m| m.row(names, &task, tokens, gpu.target)).collect();
                    rows[0].best = true;
                    let best = &rows[0];
                    eprintln!(
                        "{} {} {} at {tokens}: {:.1} us, {:.0} GB/s, {:.0} TFLOPS, {}",
                        best.model,
                        best.projection,
                        best.format,
                        best.timing.microseconds,
                        best.gbs,
                        best.tflops,
                        best.kernel
                    );
                    report.linear.extend(rows);
                }
            }
        }
        Ok(())
    }

    fn attention<D: Driver>(&self, gpu: &Gpu<'_, D>, report: &mut Report) -> Result<()> {
        let filler = gpu.filler()?;
        for shape in &self.shapes {
            for kv in [Kv::F16, Kv::Fp8] {
                for &batch in &self.batches {
                    for &context in &self.contexts {
                        let load = Load { batch, context };
                        report.attention.extend(gpu.measure_attention(&filler, &shape.sizes(), kv, load)?);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Job for Kernels {
    fn run<D: Driver>(self, gpu: &Gpu<'_, D>) -> Result<bool> {
        let copied = if gpu.is_emulated() { EMULATED_COPY_BYTES } else { COPY_BYTES };
        let ceilings = gpu.ceilings(copied, self.matmul_tflops)?;
        let mut report = Report { target: gpu.describe(), ceilings, ..Report::default() };
        self.linears(gpu, &mut report)?;
        self.attention(gpu, &mut report)?;
        report.rate_by_own_kernels();
        self.to.write(&report)?;
        Ok(true)
    }
}

/// A step of a model to be measured.
struct OneStep {
    to: Output,
    names: (&'static str, String),
    step: Step,
}

impl Job for OneStep {
    fn run<D: Driver>(self, gpu: &Gpu<'_, D>) -> Result<bool> {
        let row = gpu.measure_step((self.names.0, &self.names.1), self.step)?;
        eprintln!(
            "{} {} {} kv {} batch {} context {}: {:.2} ms, {:.1} tokens/s, {:.0} GB/s",
            row.what,
            row.model,
            row.recipe,
            row.kv,
            row.batch,
            row.context,
            row.timing.microseconds / 1e3,
            row.tokens_per_second,
            row.gbs
        );
        let steps = vec![row];
        self.to.write(&Report { target: gpu.describe(), steps, ..Report::default() })?;
        Ok(true)
    }
}

impl OfModel {
    fn run(self, name: &'static str, what: What, usual: Load) -> Result<bool> {
        let recipe: Recipe = self.recipe.parse().map_err(anyhow::Error::msg)?;
        let Load { batch, context } = usual;
        let load = Load {
            batch: self.batch.unwrap_or(batch).max(1),
            context: self.context.unwrap_or(context).max(1),
        };
        let step = Step { sizes: self.shape.sizes(), recipe, kv: self.kv, what, load };
        device::on(&self.place, OneStep { to: self.to, names: (name, self.recipe), step })
    }
}

impl Output {
    fn write(&self, report: &Report) -> Result<()> {
        let text = serde_json::to_string_pretty(report)?;
        match &self.json {
            Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string()),
            None => {
                println!("{text}");
                Ok(())
            }
        }
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
            "samp-gpu bench kernels --formats nf4,fp8_e4m3 --tokens 1,16 --matmul-tflops 790.5 --json out.json",
            "samp-gpu bench decode --shape llama-3-8b --recipe uniform:nf4",
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
