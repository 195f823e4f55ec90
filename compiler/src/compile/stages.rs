//! The stages at both ends of a compile: a model is loaded, and a plan that is ready is emitted. With calibration data the
//! stages of [`crate::quantize::search`] lie between them; with a recipe the formats are known at once.

use samp_abi::plan::Plan;
use samp_ir::{Diagnostic, Phase};
use samp_passes::Decision;
use samp_runtime::Progress;

use super::{
    error::CompileError,
    kept::kept_recipe,
    probe::probe,
    request::{CompileRequest, EmissionRequest, Precision},
    strict::refuse_warnings,
};
use crate::{
    certificate::{Certificate, QualityEvidence},
    emit::{EmitOptions, Emitted, EncodedWeights, Forecast, MachineCode, WorkFolder, emit, forecast},
    error_code,
    lower::{
        LowerOptions, Lowered, Measurements, ModelSource, PlanSpec, check_budget, check_limits, lower_model,
        lower_to_spec, pipeline::Trace, recipe::LoadedRecipe,
    },
    quantize::{
        QuantizeError, RoundedStore,
        data::{self, CalibrationData},
        search::{self, CalibrationForecast, CertifiedPlan, Measured, SearchTask},
    },
};

/// A model that was opened, with calibration data where the formats are to be measured.
pub struct Loaded<'a> {
    request: &'a CompileRequest,
    source: ModelSource,
    options: LowerOptions,
    data: Option<CalibrationData>,
}

impl<'a> Loaded<'a> {
    /// Opens the request's model and reads its calibration data.
    ///
    /// # Errors
    /// Whatever can be refused before any work: an output that is there or has no folder, limits and counts out of range,
    /// constraints that no formats keep, data that cannot be read.
    pub fn open(request: &'a CompileRequest) -> Result<Loaded<'a>, CompileError> {
        request.check()?;
        let mut source = ModelSource::open(&request.model)?;
        request.name.as_deref().map_or(Ok(()), |name| source.rename(name))?;
        let mut options = request.lower_options();
        if let Some(recipe) = kept(&source, request)? {
            options.recipe = recipe;
        }
        check_limits(&source, &options)?;
        let data = match &request.precision {
            Precision::Default | Precision::Recipe(_) => None,
            Precision::Calibrated(calibration) => {
                let constraints = calibration.constraints_within(request.weight_budget);
                search::check_reach(&source, &options, &constraints, &calibration.measure.formats)?;
                Some(load_data(&source, &calibration.data, request.max_context)?)
            }
        };
        Ok(Loaded { request, source, options, data })
    }

    /// What import and the calibration data warn of.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.source.warnings().iter().chain(self.data.iter().flat_map(|data| &data.warnings))
    }

    /// Lowers the model by the request's recipe to a phase and keeps the text of its graph at each phase of `keep`. What is
    /// over the weights' budget is refused, whatever the phase. With calibration data there is no recipe, and phases after
    /// the fused one are refused.
    pub fn lower(&self, until: Phase, keep: &[Phase]) -> Result<Lowered, CompileError> {
        if self.data.is_some() && !matches!(until, Phase::Model | Phase::Fused) {
            let message = format!("expected the phase model or fused, found {until}");
            return Err(Diagnostic::bad_input(error_code::UNDECIDED, message)
                .note("with calibration data the formats are known only after measuring")
                .hint("lower by a recipe to see later phases, or compile and read plan.mlir")
                .into());
        }
        let nothing = Measurements::default();
        let mut lowered = lower_model(&self.source, &self.options, &nothing, until, keep)?;
        if let Some(budget) = self.request.weight_budget {
            let warning = match &lowered.spec {
                Some(spec) => check_budget(spec, budget)?,
                None => check_budget(&lower_to_spec(&self.source, &self.options, &nothing)?, budget)?,
            };
            lowered.warnings.extend(warning);
        }
        Ok(lowered)
    }

    /// Refuses what can be refused before any compile of several begins: a recipe that does not fit, or too small a budget.
    pub fn check(&self) -> Result<(), CompileError> {
        match self.request.precision {
            Precision::Default | Precision::Recipe(_) => self.lower(Phase::Planned, &[]).map(drop),
            Precision::Calibrated(_) => Ok(()),
        }
    }

    /// What measuring, rounding and auditing will take, which is all that is known of a calibrated plan before.
    pub fn forecast(self) -> Result<CalibrationForecast, CompileError> {
        let (Precision::Calibrated(calibration), Some(data)) = (&self.request.precision, &self.data) else {
            return Err(CompileError::NoData);
        };
        let request = calibration.search_request(self.request.weight_budget)?;
        Ok(search::forecast(self.source, self.options, &request, data)?)
    }

    /// The plan by the request's recipe, ready to be emitted.
    pub fn plan(self) -> Result<Planned, CompileError> {
        let lowered = self.lower(Phase::Planned, &[])?;
        Ok(self.into_planned(lowered).expect("lowered to the end"))
    }

    /// The plan that a model lowered to the planned phase is; `None` of one that was lowered to another.
    pub fn into_planned(self, lowered: Lowered) -> Option<Planned> {
        let Lowered { spec, trace, warnings, .. } = lowered;
        let warnings = self.warnings().cloned().chain(warnings).collect();
        Some(Planned { source: self.source, spec: spec?, trace, warnings, calibrated: None })
    }

    /// The plan that a search by measurements finds, ready to be emitted: measures, decides, quantizes and audits until the
    /// constraints are kept.
    pub fn search(self, progress: &dyn Progress) -> Result<Planned, CompileError> {
        let found = self.measure(progress)?.search(progress)?.certify(progress)?;
        Ok(Planned::from(found))
    }

    /// Measures what each format costs each weight on the calibration data: the first stage of a search.
    pub fn measure(self, progress: &dyn Progress) -> Result<Measured, CompileError> {
        if self.request.emission.strict {
            refuse_warnings(self.warnings())?;
        }
        let (Precision::Calibrated(calibration), Some(data)) = (&self.request.precision, self.data) else {
            return Err(CompileError::NoData);
        };
        let request = calibration.search_request(self.request.weight_budget)?;
        let emission = &self.request.emission;
        let work = WorkFolder::open(emission.work_folder()?, emission.output()?)?;
        let task = SearchTask { source: self.source, options: self.options, request, data, work };
        Ok(task.measure(progress)?)
    }
}

/// The recipe of a checkpoint whose quantized weights are kept; `None` where there are none, or all are to be rounded anew.
fn kept(source: &ModelSource, request: &CompileRequest) -> Result<Option<LoadedRecipe>, Diagnostic> {
    let quantized = source.import().filter(|import| import.checkpoint.is_quantized());
    let Some(import) = quantized.filter(|_| !request.requantize) else { return Ok(None) };
    match &request.precision {
        Precision::Default => kept_recipe(import, None).map(Some),
        Precision::Recipe(recipe) => kept_recipe(import, Some(recipe)).map(Some),
        Precision::Calibrated(_) => {
            let message = "expected weights to measure formats of, found quantized ones";
            Err(Diagnostic::unsupported(error_code::KEPT_OR_REQUANTIZED, message)
                .in_file(request.model.display().to_string())
                .hint(
                    "with --requantize they are dequantized first; without --calib they are kept as they are",
                ))
        }
    }
}

/// Reads calibration data for a model; `max_context` is the plan's, the model's own if `None`.
pub(super) fn load_data(
    source: &ModelSource,
    request: &data::DataRequest,
    max_context: Option<u64>,
) -> Result<CalibrationData, CompileError> {
    let import = source.import().ok_or(QuantizeError::NoWeights)?;
    let context = max_context.unwrap_or(import.config.max_position_embeddings);
    Ok(data::load(request, &import.files, import.config.model.vocab_size, context)?)
}

/// A plan that is ready to be emitted.
pub struct Planned {
    source: ModelSource,
    /// The plan without its weights.
    pub spec: PlanSpec,
    /// What the passes did and why.
    pub trace: Trace,
    /// What to know before relying on it.
    pub warnings: Vec<Diagnostic>,
    /// What calibration made; `None` where the formats follow a recipe.
    pub calibrated: Option<Calibrated>,
}

/// What calibration adds to a plan.
pub struct Calibrated {
    weights: RoundedStore,
    work: WorkFolder,
    /// What is known of the plan's precision.
    pub evidence: QualityEvidence,
    /// How the formats were decided.
    pub decision: Decision,
}

/// A plan on disk.
pub struct Compiled {
    /// The manifest as published.
    pub plan: Plan,
    /// Bytes of all files.
    pub bytes: u64,
    /// Tensors that were taken over from an interrupted run.
    pub resumed: usize,
    /// What is known of its precision; `None` where the formats follow a recipe.
    pub evidence: Option<QualityEvidence>,
    /// What to know before relying on it.
    pub warnings: Vec<Diagnostic>,
}

impl From<CertifiedPlan> for Planned {
    fn from(found: CertifiedPlan) -> Planned {
        let CertifiedPlan { source, spec, weights, evidence, decision, trace, warnings, work } = found;
        let calibrated = Some(Calibrated { weights, work, evidence, decision });
        Planned { source, spec, trace, warnings, calibrated }
    }
}

impl Planned {
    /// Refuses a plan that there are warnings of, where that is asked for.
    pub fn check_warnings(&self, emission: &EmissionRequest) -> Result<(), CompileError> {
        if emission.strict { refuse_warnings(&self.warnings) } else { Ok(()) }
    }

    /// What emitting will take.
    pub fn forecast(&self, emission: &EmissionRequest) -> Result<Forecast, CompileError> {
        Ok(forecast(&self.spec, emission.threads()?, emission.memory_budget))
    }

    /// The machine code of the plan's kernels alone, for a target that is a GPU.
    pub fn compile_kernels(&self, emission: &EmissionRequest) -> Result<MachineCode, CompileError> {
        let code = MachineCode::compile(&self.spec, emission.threads()?)?;
        if code.0.is_empty() { Err(CompileError::NoKernels(self.spec.target)) } else { Ok(code) }
    }

    /// Writes the plan. On any error the target is what it was before; after an interruption the same compile continues from
    /// what was finished.
    pub fn emit(self, emission: &EmissionRequest, progress: &dyn Progress) -> Result<Compiled, CompileError> {
        self.check_warnings(emission)?;
        let threads = emission.threads()?;
        let import = match &self.source {
            ModelSource::Checkpoint(import) => import,
            ModelSource::Config { path, .. } => return Err(CompileError::NoWeights(path.clone())),
        };
        let calibrated = self.calibrated.as_ref();
        let options = EmitOptions {
            out: emission.output()?,
            force: emission.force,
            threads,
            memory_budget: emission.memory_budget,
            progress,
            probe: &probe,
            encoded_weights: calibrated.map(|calibrated| &calibrated.weights as &dyn EncodedWeights),
            certificate: &Certificate::new(&self.spec, calibrated.map(|c| &c.evidence), &self.warnings)
                .to_text(),
        };
        let Emitted { plan, bytes, resumed, publication } = emit(&self.spec, &import.checkpoint, &options)?;
        let evidence = match self.calibrated {
            Some(Calibrated { work, evidence, .. }) => {
                work.remove()?;
                Some(evidence)
            }
            None => None,
        };
        drop(publication);
        Ok(Compiled { plan, bytes, resumed, evidence, warnings: self.warnings })
    }
}
