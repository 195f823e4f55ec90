//! A model lowered to a phase: the graph of a checkpoint, or of its `config.json` alone, goes through the passes and, at
//! the end, becomes the specification of a plan.

use std::path::{Path, PathBuf};

use samp_abi::{
    ElementType, Format, ScaleAxis, TargetName,
    plan::{KvCache, Limits},
};
use samp_ir::{Context, Diagnostic, Module, Phase};
use samp_passes::{MemberScales, QuantOptions, Selection, Sensitivities};
use samp_runtime::path_kind::{PathKind, what_is_there};

use super::{
    member_scales::member_scales,
    pipeline::{PipelineInputs, Trace, default_kv_format, default_max_tokens, lower},
    program::{self, LowerInputs},
    recipe::LoadedRecipe,
    spec::{PlanSpec, SourceSpec},
};
use crate::{
    error_code,
    import::{self, Import, ModelConfig},
};

/// Positions in a page of the KV cache.
const KV_PAGE_TOKENS: u64 = 16;
/// Most sequences that are decoded concurrently, unless told otherwise.
pub const DEFAULT_MAX_SEQUENCES: u64 = 16;

/// What a model is lowered for: all that is asked for, and nothing that was measured.
#[derive(Clone, Debug)]
pub struct LowerOptions {
    /// The machine.
    pub target: TargetName,
    /// Which format each weight gets.
    pub recipe: LoadedRecipe,
    /// Format of the KV cache; `None` leaves it to the recipe, then to the target.
    pub kv: Option<Format>,
    /// Positions of one sequence; `None` is what the model was trained for.
    pub max_context: Option<u64>,
    /// Most sequences that are decoded concurrently.
    pub max_sequences: u64,
    /// Tokens of one step.
    pub max_tokens: u64,
    /// Which quality passes run.
    pub quality: QuantOptions,
    /// Whether no kernel may round its inputs to fewer bits than they are stored in.
    pub exact: bool,
}

impl LowerOptions {
    /// The defaults for a target and a recipe.
    pub fn new(target: TargetName, recipe: LoadedRecipe) -> LowerOptions {
        LowerOptions {
            target,
            recipe,
            kv: None,
            max_context: None,
            max_sequences: DEFAULT_MAX_SEQUENCES,
            max_tokens: default_max_tokens(target),
            quality: QuantOptions::NONE,
            exact: false,
        }
    }
}

/// What was measured of a model on calibration data and goes into its graph; by default nothing was.
#[derive(Clone, Debug, Default)]
pub struct Measurements {
    /// Scales of keys and of values of each layer, for a cache in fp8; `None` where some layer was not seen.
    pub kv_scales: Option<Vec<[f32; 2]>>,
    /// What each format costs each weight.
    pub sensitivities: Option<Sensitivities>,
}

/// Where the model comes from: a whole checkpoint, or its `config.json` alone.
#[derive(Debug)]
pub enum ModelSource {
    /// With weights.
    Checkpoint(Box<Import>),
    /// Shapes only: enough for every phase and for sizes, not for a plan.
    Config {
        /// What the file says.
        config: Box<ModelConfig>,
        /// The file.
        path: PathBuf,
    },
}

impl ModelSource {
    /// Opens a checkpoint directory, or a `config.json`.
    pub fn open(model: &Path) -> Result<ModelSource, Diagnostic> {
        if matches!(what_is_there(model), PathKind::File(kind) if kind.may_be_config()) {
            let config = Box::new(import::import_config(model)?);
            return Ok(ModelSource::Config { config, path: model.into() });
        }
        Ok(ModelSource::Checkpoint(Box::new(import::import(model)?)))
    }

    /// The model's configuration.
    pub fn config(&self) -> &ModelConfig {
        match self {
            ModelSource::Checkpoint(import) => &import.config,
            ModelSource::Config { config, .. } => config,
        }
    }

    /// Calls the checkpoint otherwise than its folder. Plans have names, and a `config.json` alone gives none.
    ///
    /// # Errors
    /// The name cannot be shown.
    pub fn rename(&mut self, name: &str) -> Result<(), Diagnostic> {
        import::check_name(name)?;
        if let ModelSource::Checkpoint(import) = self {
            import.name = Some(name.into());
        }
        Ok(())
    }

    /// The checkpoint with its weights, if there is one.
    pub fn import(&self) -> Option<&Import> {
        match self {
            ModelSource::Checkpoint(import) => Some(import),
            ModelSource::Config { .. } => None,
        }
    }

    /// What the import warned of.
    pub fn warnings(&self) -> &[Diagnostic] {
        self.import().map_or(&[], |import| &import.warnings)
    }

    fn build_graph(&self, context: &Context) -> Module {
        match self {
            ModelSource::Checkpoint(import) => import.build_graph(context),
            ModelSource::Config { config, .. } => config.build_graph(context),
        }
    }

    /// A tensor of the checkpoint, or as the architecture calls for it where there is none.
    fn find(&self, name: &str) -> Option<SourceSpec> {
        match self {
            ModelSource::Checkpoint(import) => SourceSpec::find(&import.checkpoint, name),
            ModelSource::Config { config, .. } => {
                let parameter = import::parameters(config).into_iter().find(|p| p.source == name)?;
                let dtype = config.dtype.unwrap_or(ElementType::F32);
                Some(SourceSpec { name: parameter.source, dtype, shape: parameter.shape })
            }
        }
    }
}

/// A model lowered as far as was asked.
pub struct Lowered {
    /// The graph at its last phase.
    pub module: Module,
    /// The plan without its weights; `None` before the planned phase.
    pub spec: Option<PlanSpec>,
    /// What the passes did and why, with the graphs that were to be kept.
    pub trace: Trace,
    /// Warnings of lowering.
    pub warnings: Vec<Diagnostic>,
}

/// Lowers a model to `until` and keeps the text of its graph at each phase of `keep` on the way.
pub fn lower_model(
    source: &ModelSource,
    options: &LowerOptions,
    measurements: &Measurements,
    until: Phase,
    keep: &[Phase],
) -> Result<Lowered, Diagnostic> {
    let mut config = source.config().clone();
    let max_context = options.max_context.unwrap_or(config.max_position_embeddings);
    let mut warnings: Vec<Diagnostic> = config.set_context(max_context).into_iter().collect();
    let mut inputs = pipeline_inputs(&config, options, measurements, max_context)?;
    // Measurements are of fused weights as they are.
    if let (Some(import), None) = (source.import(), &measurements.sensitivities) {
        inputs.member_scales = member_scales(import, &inputs.recipe);
    }
    let calibrated = measurements.kv_scales.is_some() || config.kv_scales.is_some();
    warnings.extend((is_fp8(inputs.kv.format) && !calibrated).then(uncalibrated_kv));
    let context = Context::new();
    let mut module = source.build_graph(&context);
    let trace = lower(&mut module, &inputs, until, keep)?;
    warnings.extend_from_slice(&trace.warnings);
    let planned = until == Phase::Planned;
    let spec = planned.then(|| plan_spec(source, &module, &options.recipe.source, &inputs)).transpose()?;
    Ok(Lowered { module, spec, trace, warnings })
}

/// The specification of the plan that a model is lowered to.
pub fn lower_to_spec(
    source: &ModelSource,
    options: &LowerOptions,
    measurements: &Measurements,
) -> Result<PlanSpec, Diagnostic> {
    let lowered = lower_model(source, options, measurements, Phase::Planned, &[])?;
    Ok(lowered.spec.expect("lowered to the end"))
}

/// What kernels are chosen by for these options.
pub(crate) fn selection(source: &ModelSource, options: &LowerOptions) -> Result<Selection, Diagnostic> {
    let mut config = source.config().clone();
    let max_context = options.max_context.unwrap_or(config.max_position_embeddings);
    config.set_context(max_context);
    Ok(pipeline_inputs(&config, options, &Measurements::default(), max_context)?.selection())
}

/// Refuses limits that no plan can have.
pub(crate) fn check_limits(source: &ModelSource, options: &LowerOptions) -> Result<(), Diagnostic> {
    selection(source, options).map(drop)
}

fn plan_spec(
    source: &ModelSource,
    module: &Module,
    recipe: &str,
    inputs: &PipelineInputs,
) -> Result<PlanSpec, Diagnostic> {
    let carried = source.import().map_or(&[][..], |import| &import.files);
    let name = source.import().and_then(|import| import.name.as_deref());
    let inputs = LowerInputs {
        target: inputs.target,
        model: &inputs.model,
        limits: inputs.limits,
        kv: &inputs.kv,
        name,
        recipe,
        carried,
    };
    program::lower(module, &inputs, &|name| source.find(name))
}

fn pipeline_inputs(
    config: &ModelConfig,
    options: &LowerOptions,
    measurements: &Measurements,
    max_context: u64,
) -> Result<PipelineInputs, Diagnostic> {
    let limits = limits(options, max_context)?;
    let recipe = options.recipe.recipe.clone();
    let kv_format = options.kv.or(recipe.kv).unwrap_or_else(|| default_kv_format(options.target));
    let known = measurements.kv_scales.as_ref().or(config.kv_scales.as_ref());
    let measured = known.filter(|_| is_fp8(kv_format)).cloned();
    let ones = if is_fp8(kv_format) { vec![[1.0; 2]; config.model.layers as usize] } else { vec![] };
    let scales = measured.unwrap_or(ones);
    Ok(PipelineInputs {
        target: options.target,
        recipe,
        model: config.model.clone(),
        limits,
        kv: KvCache { format: kv_format, page_tokens: KV_PAGE_TOKENS, scales },
        quality: options.quality,
        exact: options.exact,
        member_scales: MemberScales::default(),
        sensitivities: measurements.sensitivities.clone(),
    })
}

/// The plan's limits, within the bounds that the runtime opens plans by.
fn limits(options: &LowerOptions, max_context: u64) -> Result<Limits, Diagnostic> {
    let LowerOptions { max_tokens, max_sequences, .. } = *options;
    let limits = Limits { max_tokens, max_sequences, max_context };
    let Some(wrong) = limits.bounded().into_iter().find(|limit| !limit.holds()) else { return Ok(limits) };
    let flag = match wrong.name {
        "max_tokens" => "--max-num-batched-tokens",
        "max_sequences" => "--max-num-seqs",
        _ => "--max-model-len",
    };
    let message = format!("{flag}: expected 1 to {}, found {}", wrong.most, wrong.value);
    Err(Diagnostic::bad_input(error_code::LIMIT_OUT_OF_RANGE, message).hint("no plan has other limits"))
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
    .hint(
        "measure the plan with `samp eval` before relying on it, calibrate with --calib, or keep f16 with --kv-cache-dtype \
         f16",
    )
}
