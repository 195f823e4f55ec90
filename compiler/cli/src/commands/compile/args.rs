//! What is asked of a compile on the command line.

use std::path::PathBuf;

use samp_abi::{Format, ScaleAxis, TargetName};
use samp_compiler::{
    compile::{CalibrationRequest, CompileRequest, EmissionRequest, Precision},
    emit::DEFAULT_BUDGET,
    lower::{pipeline::default_max_tokens, recipe, size::Bytes},
};
use samp_ir::Phase;

use super::constraints::ConstraintArgs;
use crate::{
    calibration_args::{DataArgs, MeasureArgs},
    device_args::threads,
    named_values::one_of,
};

/// Compile a checkpoint into a plan for each target
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint directory; a config.json alone serves --dry-run, --kernels, --stop-after and --print-after
    pub(super) model: PathBuf,
    /// Machine that the plan is for; of several, with commas between, each has a plan of its name in the folder PLAN
    #[arg(long = "target", value_name = "TARGET", value_delimiter = ',', default_values_t = [TargetName::Cpu],
        value_parser = one_of::<TargetName>(TargetName::ALL.map(TargetName::name)))]
    pub(super) targets: Vec<TargetName>,
    /// `samp`, `uniform:FORMAT`, or a TOML file of patterns and formats [default: samp; of a quantized checkpoint, what it holds]
    #[arg(long, value_name = "RECIPE", long_help = recipe_help())]
    pub(super) recipe: Option<String>,
    /// Plan directory to make, in a folder that is there
    #[arg(short, long, value_name = "PLAN", required_unless_present_any = ["dry_run", "stop_after", "kernels"])]
    pub(super) output: Option<PathBuf>,
    /// Write only the kernels' machine code, into this folder, for a target that is a GPU; a config.json serves
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["output", "dry_run", "stop_after"], help_heading = INSTEAD)]
    pub(super) kernels: Option<PathBuf>,
    /// What the plan calls the checkpoint [default: its folder's name, or ORG/NAME of a hub's cache]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Take only kernels that round no inputs; the CPU's integer kernels, several times faster, round those of linears to 15 bits
    #[arg(long)]
    pub(super) exact: bool,
    /// Dequantize weights that another tool quantized, and round them like any others, instead of keeping their codes
    #[arg(long)]
    pub(super) requantize: bool,
    /// Replace the plan if it exists
    #[arg(long)]
    pub(super) force: bool,
    /// Refuse a plan whose weights take more than this; warn if they and one sequence's cache do
    ///
    /// Weights alone count: the KV cache depends on how the plan is served. The refusal and --dry-run also say the
    /// least that running takes: weights, activation arena, and the cache of one sequence at its longest.
    #[arg(long, value_name = "BYTES", help_heading = LIMITS)]
    pub(super) budget: Option<Bytes>,
    /// Format of the KV cache: auto (the recipe's, or f32 on CPUs and f16 on GPUs), f32, f16 or fp8
    #[arg(long, value_name = "DTYPE", default_value = "auto", value_parser = kv_format, help_heading = LIMITS)]
    pub(super) kv_cache_dtype: KvDtype,
    /// Positions of one sequence [default: what the model was trained for]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) max_model_len: Option<u64>,
    /// Maximum concurrent sequences [default: 16, or 1 with --optimize-for edge]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) max_num_seqs: Option<u64>,
    /// Tokens of one step [default: 256 on CPUs, 1024 on GPUs]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub(super) max_num_batched_tokens: Option<u64>,
    /// Refuse what there are warnings of; nothing is written
    #[arg(long)]
    pub(super) strict: bool,
    /// Threads of the CPU to compute with, at most 1024; no byte of the plan depends on it [default: one for each core]
    #[arg(long, value_name = "N", value_parser = threads, help_heading = MACHINE)]
    pub(in crate::commands) threads: Option<usize>,
    /// Memory for tensors in flight
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(DEFAULT_BUDGET), help_heading = MACHINE)]
    pub(super) memory: Bytes,
    /// Say what would be made and what it takes, then stop; with --calib, what measuring would take, and measure nothing
    #[arg(long, help_heading = INSTEAD)]
    pub(super) dry_run: bool,
    /// Lower the graph to this phase, print it, then stop; nothing is written
    #[arg(long, value_name = "PHASE", conflicts_with_all = ["output", "dry_run"], value_parser = one_of::<Phase>(Phase::ALL.map(Phase::name)), help_heading = INSTEAD)]
    pub(super) stop_after: Option<Phase>,
    /// Print the graph after this phase; may be given several times
    #[arg(long, value_name = "PHASE", value_parser = one_of::<Phase>(Phase::ALL.map(Phase::name)), help_heading = INSTEAD)]
    pub(super) print_after: Vec<Phase>,
    /// Say for each op which kernels were candidates and what each would cost; with --calib, for each weight why it
    /// has its format, what higher limits would buy, and what each quality pass did to the error of outputs
    #[arg(long, help_heading = INSTEAD)]
    pub(super) explain: bool,
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) measure: MeasureArgs,
    #[command(flatten)]
    pub(super) constraints: ConstraintArgs,
    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Say nothing of progress
    #[arg(long)]
    pub(super) quiet: bool,
}

/// Headings of the help.
const LIMITS: &str = "Limits of the plan";
const INSTEAD: &str = "Looking inside";
const MACHINE: &str = "This machine";

/// The help of `--recipe`, with the formats that it can name.
fn recipe_help() -> String {
    let formats = Format::ALL.map(|format| format.name()).join(", ");
    format!(
        "`samp`, `uniform:FORMAT`, or a TOML file of patterns and formats [default: samp]\n\n\
         Weights that another tool quantized are kept as they are stored unless a rule is for them, or with --requantize.\n\n\
         With --calib measurements decide the formats: a recipe is then a TOML file of `quality` and `kv` without rules.\n\n\
         Formats: {formats}"
    )
}

/// What `--kv-cache-dtype` says; `None` is auto.
#[derive(Clone, Copy)]
pub(super) struct KvDtype(Option<Format>);

fn kv_format(text: &str) -> Result<KvDtype, String> {
    Ok(KvDtype(match text {
        "auto" => None,
        "f32" => Some(Format::F32),
        "f16" => Some(Format::F16),
        "fp8" => Some(Format::Fp8E4m3(ScaleAxis::Tensor)),
        _ => return Err("expected auto, f32, f16 or fp8".into()),
    }))
}

impl Args {
    /// Whether nothing is written.
    pub(super) fn only_says(&self) -> bool {
        self.dry_run || self.stop_after.is_some()
    }

    /// What the flags ask of a compile for one target.
    pub(super) fn request(
        &self,
        target: TargetName,
        output: Option<PathBuf>,
    ) -> anyhow::Result<CompileRequest> {
        let max_sequences = self.max_num_seqs.unwrap_or(self.constraints.optimize_for.sequences());
        let max_tokens = self.max_num_batched_tokens.unwrap_or(default_max_tokens(target));
        let (precision, recipe_kv) = match self.data.request() {
            None => match &self.recipe {
                Some(recipe) => (Precision::Recipe(recipe::load(recipe)?), None),
                None => (Precision::Default, None),
            },
            Some(data) => {
                let recipe = self.recipe.as_deref().map(recipe::load_measured).transpose()?;
                let recipe = recipe.unwrap_or_default();
                let quality = self.measure.quality(data.seed, recipe.quality.as_deref())?;
                let calibration = CalibrationRequest {
                    measure: self.measure.options(quality.rounding),
                    quality,
                    constraints: self.constraints.constraints(max_sequences.min(max_tokens)),
                    loss_limits: self.constraints.loss_limits(),
                    profile: self.constraints.profile.clone(),
                    additivity_samples: self.constraints.trials,
                    data,
                };
                (Precision::Calibrated(Box::new(calibration)), recipe.kv)
            }
        };
        Ok(CompileRequest {
            name: self.name.clone(),
            kv: self.kv_cache_dtype.0.or(recipe_kv),
            max_context: self.max_model_len,
            max_sequences,
            exact: self.exact,
            requantize: self.requantize,
            max_tokens: Some(max_tokens),
            weight_budget: self.budget.map(|bytes| bytes.0),
            emission: EmissionRequest {
                output,
                force: self.force,
                threads: self.threads,
                memory_budget: self.memory.0,
                strict: self.strict,
            },
            ..CompileRequest::new(&self.model, target, precision)
        })
    }
}
