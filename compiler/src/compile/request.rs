//! What is asked of a compile.

use std::path::PathBuf;

use samp_abi::{Format, TargetName};
use samp_passes::{Constraints, QuantOptions};
use samp_runtime::{MAX_THREADS, check_threads};

use super::error::CompileError;
use crate::{
    emit::{DEFAULT_BUDGET, PLAN, check_beside, check_target, unfinished},
    lower::{DEFAULT_MAX_SEQUENCES, LowerOptions, pipeline::default_max_tokens, recipe::LoadedRecipe},
    output_file::refuse_inside,
    quantize::{
        MeasureOptions, SensitivityMode,
        data::DataRequest,
        search::{LossLimits, SearchRequest},
    },
};

/// A checkpoint and what it is to become. Several targets take several requests.
#[derive(Clone, Debug)]
pub struct CompileRequest {
    /// A checkpoint's directory; a `config.json` alone serves everything short of weights.
    pub model: PathBuf,
    /// What the plan calls the checkpoint; `None` is its folder's name.
    pub name: Option<String>,
    /// The machine that the plan is for.
    pub target: TargetName,
    /// How the formats are decided.
    pub precision: Precision,
    /// Format of the KV cache; `None` leaves it to the recipe, then to the target, or to the search where that is
    /// constrained by what the device holds.
    pub kv: Option<Format>,
    /// Positions of one sequence; `None` is what the model was trained for.
    pub max_context: Option<u64>,
    /// Most sequences that are decoded concurrently.
    pub max_sequences: u64,
    /// Most tokens of one step; `None` is what suits the target.
    pub max_tokens: Option<u64>,
    /// Whether no kernel may round its inputs to fewer bits than they are stored in.
    pub exact: bool,
    /// Whether weights that another tool quantized are dequantized, to be rounded like any others; else they are kept.
    pub requantize: bool,
    /// Most bytes of all weights: a plan with more is refused, one that does not run beside them is warned of.
    pub weight_budget: Option<u64>,
    /// Where the plan goes, and how.
    pub emission: EmissionRequest,
}

/// How the formats of the weights are decided.
#[derive(Clone, Debug)]
pub enum Precision {
    /// As they are stored where another tool quantized them, else by the recipe `samp`.
    Default,
    /// By fixed rules. Without [`CompileRequest::requantize`] a quantized weight that none is for is kept as it is stored.
    Recipe(LoadedRecipe),
    /// By measurements on calibration data, within constraints.
    Calibrated(Box<CalibrationRequest>),
}

/// What is measured, and what the formats have to keep.
#[derive(Clone, Debug)]
pub struct CalibrationRequest {
    /// The data.
    pub data: DataRequest,
    /// What is measured of it.
    pub measure: MeasureOptions,
    /// The quality passes that run.
    pub quality: QuantOptions,
    /// Limits and objective; limits on losses come from `loss_limits`.
    pub constraints: Constraints,
    /// How much perplexity may grow.
    pub loss_limits: LossLimits,
    /// A profile of what was measured before; only weights that it lacks are measured.
    pub profile: Option<PathBuf>,
    /// Random assignments to audit before deciding, which tell how far measured losses add up.
    pub additivity_samples: usize,
}

/// Where a plan is written, with how much of the machine, and whether in spite of warnings.
#[derive(Clone, Debug)]
pub struct EmissionRequest {
    /// The plan directory to make; `None` where nothing is to be written.
    pub output: Option<PathBuf>,
    /// Replace a plan that is already there.
    pub force: bool,
    /// Threads that encode weights, at most [`MAX_THREADS`]; no byte of the plan depends on it. `None` is one for each core.
    pub threads: Option<usize>,
    /// Most bytes of tensors in flight.
    pub memory_budget: u64,
    /// Refuse what there are warnings of: before any measuring where they are known by then, else before anything is
    /// published.
    pub strict: bool,
}

impl CompileRequest {
    /// The defaults for a model and a target.
    pub fn new(model: impl Into<PathBuf>, target: TargetName, precision: Precision) -> CompileRequest {
        CompileRequest {
            model: model.into(),
            name: None,
            target,
            precision,
            kv: None,
            max_context: None,
            max_sequences: DEFAULT_MAX_SEQUENCES,
            max_tokens: None,
            exact: false,
            requantize: false,
            weight_budget: None,
            emission: EmissionRequest::default(),
        }
    }

    /// The same, written to a plan directory.
    pub fn into_plan(mut self, output: impl Into<PathBuf>) -> CompileRequest {
        self.emission.output = Some(output.into());
        self
    }

    /// The same, refused where there are warnings.
    pub fn strictly(mut self) -> CompileRequest {
        self.emission.strict = true;
        self
    }

    /// Refuses what can be refused without the model: an output that is there or has no folder, no threads, and limits that
    /// are no numbers. [`Loaded::open`](super::Loaded::open) does so first.
    pub fn check(&self) -> Result<(), CompileError> {
        self.emission.threads()?;
        if let Some(output) = &self.emission.output {
            check_target(output, PLAN, self.emission.force)?;
            refuse_inside(output, &self.model)?;
        }
        let Precision::Calibrated(calibration) = &self.precision else { return Ok(()) };
        if let Some(output) = &self.emission.output {
            check_beside(output, &self.emission.work_folder()?)?;
        }
        Ok(calibration.constraints.check()?)
    }

    pub(super) fn lower_options(&self) -> LowerOptions {
        let (recipe, quality) = match &self.precision {
            Precision::Default => (LoadedRecipe::samp(), QuantOptions::NONE),
            Precision::Recipe(recipe) => (recipe.clone(), QuantOptions::NONE),
            Precision::Calibrated(calibration) => (LoadedRecipe::samp(), calibration.quality),
        };
        LowerOptions {
            target: self.target,
            recipe,
            kv: self.kv,
            max_context: self.max_context,
            max_sequences: self.max_sequences,
            max_tokens: self.max_tokens.unwrap_or(default_max_tokens(self.target)),
            quality,
            exact: self.exact,
        }
    }
}

impl CalibrationRequest {
    /// The defaults for some data: the best plan by fast measurements of `formats`, without any constraint.
    pub fn new(data: DataRequest, formats: Vec<Format>) -> CalibrationRequest {
        let quality = QuantOptions::ALL;
        CalibrationRequest {
            data,
            measure: MeasureOptions::new(SensitivityMode::Fast, formats, quality.rounding),
            quality,
            constraints: Constraints::default(),
            loss_limits: LossLimits::default(),
            profile: None,
            additivity_samples: 0,
        }
    }

    /// The constraints, of which the weights' budget is one.
    pub(super) fn constraints_within(&self, weight_budget: Option<u64>) -> Constraints {
        let weight_bytes = self.constraints.weight_bytes.or(weight_budget.map(|bytes| bytes as f64));
        Constraints { weight_bytes, ..self.constraints.clone() }
    }

    /// As the search takes it.
    pub(super) fn search_request(&self, weight_budget: Option<u64>) -> Result<SearchRequest, CompileError> {
        let profile = self.profile.as_deref().map(crate::certificate::Profile::read).transpose()?;
        Ok(SearchRequest {
            constraints: self.constraints_within(weight_budget),
            loss_limits: self.loss_limits.clone(),
            measure: self.measure.clone(),
            profile,
            seed: self.data.seed,
            additivity_samples: self.additivity_samples,
        })
    }
}

impl Default for EmissionRequest {
    fn default() -> EmissionRequest {
        EmissionRequest {
            output: None,
            force: false,
            threads: None,
            memory_budget: DEFAULT_BUDGET,
            strict: false,
        }
    }
}

impl EmissionRequest {
    /// The plan directory.
    pub(super) fn output(&self) -> Result<&PathBuf, CompileError> {
        self.output.as_ref().ok_or(CompileError::NoOutput)
    }

    /// Threads that encode weights.
    pub(super) fn threads(&self) -> Result<usize, CompileError> {
        match self.threads {
            Some(threads) => Ok(check_threads(threads)?.get()),
            None => Ok(std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)),
        }
    }

    /// The folders where what an interrupted compile had finished lies: weights that were packed, and measurements.
    pub fn unfinished(&self) -> Vec<PathBuf> {
        let packed = self.output.as_ref().and_then(|output| unfinished(output));
        let measured = self.work_folder().ok().filter(|work| work.exists());
        packed.into_iter().chain(measured).collect()
    }

    /// The folder that holds what survives an interruption of a calibrated compile.
    pub(super) fn work_folder(&self) -> Result<PathBuf, CompileError> {
        let mut work = self.output()?.clone().into_os_string();
        work.push(".calibration.partial");
        Ok(work.into())
    }
}
