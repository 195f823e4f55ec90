//! Compiling: a checkpoint, a target and a recipe become a plan. The pipeline from end to end.

use std::path::Path;

use samp_abi::{
    ElementType, Format, ScaleAxis, TargetName,
    plan::{KvCache, Limits},
};
use samp_ir::{Context, Diagnostic, Module, Phase};
use samp_passes::{QuantOptions, Selection, Sensitivities, recipe::Recipe};
use samp_runtime::{DeviceKind, Engine, EngineOptions, Outputs, Silent};

use crate::error_code;
use crate::{
    certificate::Certificate,
    emit::{DEFAULT_BUDGET, EmitOptions, Emitted, ProbeError, emit},
    import::{self, Import, ModelConfig},
    lower::{
        LowerInputs, PlanSpec, SourceSpec,
        pipeline::{PipelineInputs, Trace, default_kv_format, default_max_tokens, lower},
        recipe::LoadedRecipe,
        size::{Bytes, SizeTable},
    },
};

/// Positions in a page of the KV cache.
const KV_PAGE_TOKENS: u64 = 16;
/// Sequences alive at once unless told otherwise.
pub const DEFAULT_MAX_SEQUENCES: u64 = 16;

/// What to compile for.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// The machine.
    pub target: TargetName,
    /// Which format each weight gets.
    pub recipe: LoadedRecipe,
    /// Format of the KV cache; `None` leaves it to the recipe, then to the target.
    pub kv: Option<Format>,
    /// Scales of keys and of values of each layer, should they be kept in fp8; `None` where nothing was measured.
    pub kv_scales: Option<Vec<[f32; 2]>>,
    /// Positions of one sequence; `None` is what the model was trained for.
    pub max_context: Option<u64>,
    /// Sequences alive at once.
    pub max_sequences: u64,
    /// Tokens of one step.
    pub max_tokens: u64,
    /// What is done for quality.
    pub quality: QuantOptions,
    /// What was measured, to be put on the graph.
    pub sensitivities: Option<Sensitivities>,
}

impl CompileOptions {
    /// The defaults for a target and a recipe.
    pub fn new(target: TargetName, recipe: LoadedRecipe) -> CompileOptions {
        CompileOptions {
            target,
            recipe,
            kv: None,
            kv_scales: None,
            max_context: None,
            max_sequences: DEFAULT_MAX_SEQUENCES,
            max_tokens: default_max_tokens(target),
            quality: QuantOptions::NONE,
            sensitivities: None,
        }
    }
}

/// Where the model comes from: a whole checkpoint, or its `config.json` alone.
#[derive(Debug)]
pub enum Source {
    /// With weights.
    Checkpoint(Box<Import>),
    /// Shapes only: enough for every phase and for sizes, not for a plan.
    Config(Box<ModelConfig>),
}

impl Source {
    /// Opens a checkpoint directory, or a `config.json`.
    pub fn open(model: &Path) -> Result<Source, Diagnostic> {
        if model.is_file() {
            return Ok(Source::Config(Box::new(import::import_config(model)?)));
        }
        Ok(Source::Checkpoint(Box::new(import::import(model)?)))
    }

    fn config(&self) -> &ModelConfig {
        match self {
            Source::Checkpoint(import) => &import.config,
            Source::Config(config) => config,
        }
    }

    fn build_graph(&self, context: &Context) -> Module {
        match self {
            Source::Checkpoint(import) => import.build_graph(context),
            Source::Config(config) => config.build_graph(context),
        }
    }

    /// A tensor of the checkpoint, or as the architecture calls for it where there is none.
    fn find(&self, name: &str) -> Option<SourceSpec> {
        match self {
            Source::Checkpoint(import) => SourceSpec::find(&import.checkpoint, name),
            Source::Config(config) => {
                let parameter = import::parameters(config).into_iter().find(|p| p.source == name)?;
                let dtype = config.dtype.unwrap_or(ElementType::F32);
                Some(SourceSpec { name: parameter.source, dtype, shape: parameter.shape })
            }
        }
    }

    /// What the import warned of.
    pub fn warnings(&self) -> &[Diagnostic] {
        match self {
            Source::Checkpoint(import) => &import.warnings,
            Source::Config(_) => &[],
        }
    }
}

/// A model lowered as far as was asked.
pub struct Lowered {
    /// The graph at its last phase.
    pub module: Module,
    /// The plan without its weights; `None` before the planned phase.
    pub spec: Option<PlanSpec>,
    /// What the passes did and why.
    pub trace: Trace,
    /// Warnings of lowering.
    pub warnings: Vec<Diagnostic>,
}

/// Lowers a model to `until`; `reached` sees the graph at each phase.
pub fn lower_model(
    source: &Source,
    options: &CompileOptions,
    until: Phase,
    reached: &mut dyn FnMut(Phase, &Module),
) -> Result<Lowered, Diagnostic> {
    let mut config = source.config().clone();
    let max_context = options.max_context.unwrap_or(config.max_position_embeddings);
    let mut warnings: Vec<Diagnostic> = config.set_context(max_context).into_iter().collect();
    let inputs = pipeline_inputs(&config, options, max_context)?;
    warnings.extend((is_fp8(inputs.kv.format) && options.kv_scales.is_none()).then(uncalibrated_kv));
    let context = Context::new();
    let mut module = source.build_graph(&context);
    let trace = lower(&mut module, &inputs, until, reached)?;
    warnings.extend_from_slice(&trace.warnings);
    let planned = until == Phase::Planned;
    let spec = planned.then(|| plan_spec(source, &module, options, &inputs)).transpose()?;
    Ok(Lowered { module, spec, trace, warnings })
}

/// What kernels are chosen by for these options.
pub fn selection(source: &Source, options: &CompileOptions) -> Result<Selection, Diagnostic> {
    let mut config = source.config().clone();
    let max_context = options.max_context.unwrap_or(config.max_position_embeddings);
    config.set_context(max_context);
    Ok(pipeline_inputs(&config, options, max_context)?.selection())
}

fn plan_spec(
    source: &Source,
    module: &Module,
    options: &CompileOptions,
    inputs: &PipelineInputs,
) -> Result<PlanSpec, Diagnostic> {
    let carried = match source {
        Source::Checkpoint(import) => import.files.as_slice(),
        Source::Config(_) => &[],
    };
    let inputs = LowerInputs {
        target: inputs.target,
        model: &inputs.model,
        limits: inputs.limits,
        kv: &inputs.kv,
        recipe: &options.recipe.source,
        carried,
    };
    crate::lower::program::lower(module, &inputs, &|name| source.find(name))
}

fn pipeline_inputs(
    config: &ModelConfig,
    options: &CompileOptions,
    max_context: u64,
) -> Result<PipelineInputs, Diagnostic> {
    for (flag, value) in [
        ("--max-num-batched-tokens", options.max_tokens),
        ("--max-num-seqs", options.max_sequences),
        ("--max-model-len", max_context),
    ] {
        if value == 0 || value > u64::from(u32::MAX) {
            let message = format!("{flag}: expected 1 to {}, found {value}", u32::MAX);
            return Err(Diagnostic::bad_input(error_code::LIMIT_OUT_OF_RANGE, message));
        }
    }
    let recipe: Recipe = options.recipe.recipe.clone();
    let kv_format = options.kv.or(recipe.kv).unwrap_or_else(|| default_kv_format(options.target));
    let measured = options.kv_scales.clone().filter(|_| is_fp8(kv_format));
    let ones = if is_fp8(kv_format) { vec![[1.0; 2]; config.model.layers as usize] } else { vec![] };
    let scales = measured.unwrap_or(ones);
    Ok(PipelineInputs {
        target: options.target,
        recipe,
        model: config.model.clone(),
        limits: Limits { max_tokens: options.max_tokens, max_sequences: options.max_sequences, max_context },
        kv: KvCache { format: kv_format, page_tokens: KV_PAGE_TOKENS, scales },
        quality: options.quality,
        sensitivities: options.sensitivities.clone(),
    })
}

fn is_fp8(kv: Format) -> bool {
    kv == Format::Fp8E4m3(ScaleAxis::Tensor)
}

fn uncalibrated_kv() -> Diagnostic {
    Diagnostic::unsupported(
        error_code::UNCALIBRATED_KV,
        "keys and values are kept in fp8 with scale 1, since nothing was calibrated",
    )
    .warning()
    .hint("measure the plan with `samp eval` before relying on it, or keep f16")
}

/// Refuses a plan whose weights do not fit, and shows where the bytes are. The budget is one of weights: how many
/// sequences of what length share the rest of a machine is known when it serves, not here. Where the weights fit but
/// not even one sequence beside them would, a warning says so.
pub fn check_budget(spec: &PlanSpec, budget: u64) -> Result<Option<Diagnostic>, Diagnostic> {
    let sizes = SizeTable::of(spec);
    let table =
        |finding| sizes.to_string().lines().fold(finding, |finding: Diagnostic, line| finding.note(line));
    let [weights, least, room] = [sizes.weights_bytes, sizes.least_bytes_to_run, budget].map(Bytes);
    if weights.0 > budget {
        let excess = Bytes(weights.0 - budget);
        let message = format!(
            "the plan's weights need {weights}, the budget is {room}: {excess} too much; running takes {least} or more"
        );
        let finding = table(Diagnostic::bad_input(error_code::OVER_BUDGET, message));
        return Err(finding.hint("choose smaller formats with --recipe, or raise --budget"));
    }
    if least.0 <= budget {
        return Ok(None);
    }
    let message = format!(
        "the plan's weights need {weights} of the budget of {room}, but running takes {least} or more: \
         beside the weights, {} of activation arena and {} of KV cache for one sequence of {} positions",
        Bytes(sizes.arena_bytes),
        Bytes(sizes.kv_bytes_of_one_sequence),
        spec.limits.max_context,
    );
    let hint = "if the budget is all the memory there is: --kv-cache-dtype, --max-model-len and \
                --max-num-batched-tokens take less";
    Ok(Some(Diagnostic::bad_input(error_code::TIGHT_BUDGET, message).warning().hint(hint)))
}

/// The device of this machine's CPU that runs plans of `target`: what was compiled for other hardware, the reference
/// runs.
pub fn device_on_cpu(target: TargetName) -> DeviceKind {
    if target == TargetName::Cpu { DeviceKind::Cpu } else { DeviceKind::Reference }
}

/// Runs a freshly written plan where this machine can, on the CPU: the logits after `positions` of one sequence.
pub fn probe(dir: &Path, token_ids: &[u32], positions: &[u32]) -> Result<Vec<Vec<f32>>, ProbeError> {
    let plan = samp_runtime::open_staged(dir)?;
    let options = EngineOptions {
        kv_tokens: Some(token_ids.len() as u64),
        self_test: false,
        ..EngineOptions::default()
    };
    let device = device_on_cpu(plan.manifest().target);
    let mut engine = Engine::new(plan.into(), device, options)?;
    let sequence = engine.create()?;
    let at: Vec<usize> = positions.iter().map(|&p| p as usize).collect();
    let logits = engine.append_tokens(sequence, token_ids, Outputs::At(&at))?;
    Ok(logits.rows().map(<[f32]>::to_vec).collect())
}

/// Compiles a checkpoint without quantization, as the baseline of an evaluation of a plan with contexts of up to
/// `max_context` positions: under dynamic rotary scaling another context would be another model.
pub fn compile_unquantized(model: &Path, out: &Path, max_context: u64) -> anyhow::Result<Emitted> {
    let recipe = Recipe::uniform(Format::F32);
    let recipe = LoadedRecipe { source: recipe.name.clone(), recipe };
    let options =
        CompileOptions { max_context: Some(max_context), ..CompileOptions::new(TargetName::Cpu, recipe) };
    let import = import::import(model)?;
    let source = Source::Checkpoint(Box::new(import));
    let spec = lower_model(&source, &options, Phase::Planned, &mut |_, _| {})?.spec;
    let (Source::Checkpoint(import), Some(spec)) = (source, spec) else {
        unreachable!("lowered to the end, with weights")
    };
    let emission = EmitOptions {
        out,
        force: false,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        memory_budget: DEFAULT_BUDGET,
        progress: &Silent,
        probe: &probe,
        encoded_weights: None,
        certificate: &Certificate::new(&spec, None).to_text(),
    };
    Ok(emit(&spec, &import.checkpoint, &emission)?)
}
