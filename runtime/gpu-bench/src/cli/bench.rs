//! Measurements that the command line asks for.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use samp_abi::Format;
use samp_gpu_bench::{
    Gpu,
    bench::{
        attention::Workload,
        kernels::{self, KernelSweep},
        kv_format::KvFormat,
        report::Report,
        step::{ModelStep, StepKind, StepNames},
    },
    model_shape::BenchModel,
    outcome::Outcome,
    recipe_formats::RecipeFormats,
};
use samp_kernels::target::Target;
use samp_runtime::device::gpu::Driver;

use super::{
    device::{self, GpuJob},
    lines::{ErrorLines, Lines},
    place::Place,
    workers::FirstUnit,
};

#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// Linears, attention and what lies between them, in the shapes of models
    Kernels(KernelArgs),
    /// A step of one token for each sequence: one of 512 positions, unless told otherwise
    Decode(ModelArgs),
    /// A step of whole prompts: one of 2048 tokens, unless told otherwise
    Prefill(ModelArgs),
    /// A step of one token for each of many sequences: 128 of 2048 positions, unless told otherwise
    Throughput(ModelArgs),
}

#[derive(Debug, Args)]
pub(super) struct KernelArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    first: FirstUnit,
    /// The file to write, whole after each kernel
    #[arg(long)]
    json: PathBuf,
    /// Models
    #[arg(long, value_delimiter = ',', default_value = "llama-3-8b,llama-3-70b")]
    shapes: Vec<BenchModel>,
    /// Formats of decoder linears; the head is in those of 16 bits
    #[arg(long, value_delimiter = ',', default_value = "nf4,int4,fp8_e4m3,f16,int8")]
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
    /// Tokens of whole prompts
    #[arg(long, value_delimiter = ',', default_value = "2048,8192")]
    prompts: Vec<u32>,
}

#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    #[command(flatten)]
    place: Place,
    /// The file to write; otherwise what was measured is printed
    #[arg(long)]
    json: Option<PathBuf>,
    /// The model
    #[arg(long)]
    shape: BenchModel,
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
    kv: KvFormat,
}

impl Bench {
    /// Measures; false if something is not as it must be.
    pub(super) fn run(self) -> Result<bool> {
        match self {
            Bench::Kernels(args) => args.run(),
            Bench::Decode(args) => args.run("decode", StepKind::Decode, Workload { batch: 1, context: 512 }),
            Bench::Prefill(args) => {
                args.run("prefill", StepKind::Prefill, Workload { batch: 1, context: 2048 })
            }
            Bench::Throughput(args) => {
                args.run("throughput", StepKind::Decode, Workload { batch: 128, context: 2048 })
            }
        }
    }
}

impl KernelArgs {
    fn run(self) -> Result<bool> {
        let KernelArgs { place, first, json, shapes, formats, tokens, batches, contexts, prompts } = self;
        let sweep = KernelSweep { models: shapes, formats, tokens, batches, contexts, prompts };
        first.run(&place, |from| MeasureKernels { sweep, json, from })
    }
}

/// What is measured of kernels, into which file, and the number of the first unit.
struct MeasureKernels {
    sweep: KernelSweep,
    json: PathBuf,
    from: usize,
}

impl GpuJob for MeasureKernels {
    fn run<D: Driver>(self, gpu: &Gpu<'_, D>) -> Result<bool> {
        let MeasureKernels { sweep, json, from } = self;
        if from == 0 {
            Report { target: gpu.describe(), ..Report::default() }.write(&json)?;
        }
        // Otherwise a process before this one wrote what it measured.
        let mut report = Report::read(&json).with_context(|| format!("reading {}", json.display()))?;
        let units = sweep.units(gpu.target)?;
        let mut bench = kernels::Bench::new(gpu, sweep.tokens)?;
        let measure = |unit: &kernels::Unit| {
            let said = bench.measure(unit, &mut report)?;
            report.write(&json)?;
            Ok(Outcome::Passed(said))
        };
        let rest = units.get(from..).unwrap_or_default();
        gpu.run_units(rest, kernels::Unit::name, measure, &Lines)?;
        Ok(true)
    }
}

/// A step of a model to be measured.
struct MeasureStep {
    json: Option<PathBuf>,
    kind: &'static str,
    recipe: String,
    step: ModelStep,
}

impl GpuJob for MeasureStep {
    fn run<D: Driver>(self, gpu: &Gpu<'_, D>) -> Result<bool> {
        let names = StepNames { kind: self.kind, recipe: &self.recipe };
        let row = gpu.measure_step(names, self.step, &ErrorLines)?;
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
        let report = Report { target: gpu.describe(), steps, ..Report::default() };
        match &self.json {
            Some(path) => report.write(path).with_context(|| path.display().to_string())?,
            None => println!("{}", serde_json::to_string_pretty(&report)?),
        }
        Ok(true)
    }
}

impl ModelArgs {
    fn run(self, name: &'static str, kind: StepKind, usual: Workload) -> Result<bool> {
        let formats: RecipeFormats = self.recipe.parse()?;
        let Workload { batch, context } = usual;
        let load = Workload {
            batch: self.batch.unwrap_or(batch).max(1),
            context: self.context.unwrap_or(context).max(1),
        };
        let mut step = ModelStep { shape: self.shape.shape(), formats, kv: self.kv, kind, load };
        let (target, asked) = (Target::of(self.place.target), load.batch);
        if self.batch.is_none() && !step.shrink(target)? {
            eprintln!("even one sequence may not fit the memory of {}", target.name);
        } else if step.load.batch < asked {
            eprintln!("{} sequences: {asked} do not fit the memory of {}", step.load.batch, target.name);
        }
        device::on(&self.place, MeasureStep { json: self.json, kind: name, recipe: self.recipe, step })
    }
}
