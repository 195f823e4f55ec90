//! The first stage: a checkpoint is measured on calibration data.

use samp_ir::{Diagnostic, Module, Phase};
use samp_passes::{DeviceMemory, Sensitivities, matrices};
use samp_runtime::Progress;

use super::{
    audit::Audit,
    baseline_model::BaselineModel,
    cache_losses::{CacheMeasurement, kv_formats},
    device::device,
    loss_budget::LossBudget,
    profiling::{Profiled, Profiling},
    request::SearchRequest,
    sensitivities::sensitivities,
};
use crate::{
    certificate::{CacheLoss, Fingerprint, Profile, Round},
    emit::WorkFolder,
    lower::{LowerOptions, Measurements, ModelSource, lower_model},
    quantize::{
        calibration_tokens::CalibrationTokens, data::CalibrationData, error::QuantizeError, forward::Forward,
        rounding::ProgramPair, token_batch::TokenBatch,
    },
};

/// What a search starts from.
pub(crate) struct SearchTask {
    /// The checkpoint.
    pub source: ModelSource,
    /// What it is compiled for.
    pub options: LowerOptions,
    /// What is asked for.
    pub request: SearchRequest,
    /// What is calibrated on, and what the plan is audited on.
    pub data: CalibrationData,
    /// A folder for what survives an interruption.
    pub work: WorkFolder,
}

/// A checkpoint that was measured: what each format costs each weight and the KV cache is known, and with it the scales of
/// a cache in fp8.
pub struct Measured {
    pub(super) model: BaselineModel,
    pub(super) request: SearchRequest,
    pub(super) work: WorkFolder,
    pub(super) programs: ProgramPair,
    /// The tokens that weights are rounded under.
    pub(super) batches: Vec<TokenBatch>,
    pub(super) audit: Audit,
    /// The fused graph.
    pub(super) module: Module,
    pub(super) known: Sensitivities,
    pub(super) measurements: Measurements,
    pub(super) device: DeviceMemory,
    pub(super) record: MeasurementRecord,
    /// What may be predicted, after the audits so far.
    pub(super) budget: LossBudget,
    /// Every solve and audit so far.
    pub(super) rounds: Vec<Round>,
    /// What to say of the last audit if no decision can do better.
    pub(super) missed: Option<Diagnostic>,
}

/// What the certificate, or a warning, will say of a measurement.
pub(super) struct MeasurementRecord {
    pub calibration: Fingerprint,
    /// The strata that were calibrated on.
    pub strata: Vec<String>,
    pub profile: Profile,
    pub caches: Vec<CacheLoss>,
    /// What import and the data warned of.
    pub warnings: Vec<Diagnostic>,
    /// A warning of what was measured before on other data.
    pub reused: Option<Diagnostic>,
}

impl SearchTask {
    /// Measures what the request's profile has not. What can be refused without running the model is refused before that.
    pub(crate) fn measure(self, progress: &dyn Progress) -> Result<Measured, QuantizeError> {
        let SearchTask { source, options, request, data, work } = self;
        request.loss_limits.check(&data)?;
        let model = BaselineModel::new(source, options, &[&data.calibration, &data.held_out])?;
        lower_model(&model.source, &model.options, &Measurements::default(), Phase::Fused, &[])?;
        let (pass, page) = (model.pass_tokens(), model.page_tokens());
        let tokens = CalibrationTokens::new(&data.calibration, pass, page, &request.measure);
        let profiling =
            Profiling { model: &model, records: &data.calibration, options: &request.measure, layers: None };
        let begun = profiling.begin(work.path(), &tokens, request.profile.as_ref(), progress)?;
        progress.begin("loading the unquantized weights", 0);
        let original = model.forward(&model.spec, work.path())?;
        let rounded = Forward::new(&model.spec, original.weights().clone())?;
        let mut programs = ProgramPair { original, rounded };
        let audit = Audit::new(&mut programs.original, &data.held_out, [pass, page], progress)?;
        let profiled = profiling.run(begun, &mut programs.rounded, &tokens, progress)?;
        let recorded = Recorded { model, request, work, programs, audit, tokens };
        recorded.with_profile(profiled, data, progress)
    }
}

/// A checkpoint whose unquantized predictions are recorded: what a search owns before anything is known of formats.
struct Recorded {
    model: BaselineModel,
    request: SearchRequest,
    work: WorkFolder,
    programs: ProgramPair,
    audit: Audit,
    tokens: CalibrationTokens,
}

impl Recorded {
    /// Adds what follows from a profile: the scales of caches in fp8, what each cache loses, and the fused graph.
    fn with_profile(
        mut self,
        profiled: Profiled,
        data: CalibrationData,
        progress: &dyn Progress,
    ) -> Result<Measured, QuantizeError> {
        let (model, request) = (&self.model, &self.request);
        let Profiled { mut profile, reused, journal } = profiled;
        profile.keep(&request.measure.formats);
        let kv_scales = profile.kv_scales(model.spec.model.layers);
        let scales = Measurements { kv_scales, sensitivities: None };
        let module = lower_model(&model.source, &model.options, &scales, Phase::Fused, &[])?.module;
        let known = sensitivities(&profile).supported_by(&matrices(&module), model.options.target);
        let formats = kv_formats(&model.options, &request.constraints);
        let measurement =
            CacheMeasurement { model, measurements: &scales, tokens: &self.tokens, journal: &journal };
        let caches = measurement.run(&mut self.programs.original, &formats, progress)?;
        let device = device(&model.source, &model.options, &scales, &caches, &known.strata)?;
        let strata = data.calibration.into_iter().map(|record| record.stratum).collect();
        let calibration = data.fingerprint;
        let warnings = model.source.warnings().iter().cloned().chain(data.warnings).collect();
        Ok(Measured {
            batches: self.tokens.into_rounding_batches(request.measure.mode.rounding_tokens()),
            budget: LossBudget::new(&request.loss_limits, &known.strata),
            measurements: Measurements { sensitivities: Some(known.clone()), ..scales },
            record: MeasurementRecord { calibration, strata, profile, caches, warnings, reused },
            model: self.model,
            request: self.request,
            work: self.work,
            programs: self.programs,
            audit: self.audit,
            module,
            known,
            device,
            rounds: vec![],
            missed: None,
        })
    }
}
