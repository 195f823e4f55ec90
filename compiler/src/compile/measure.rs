//! Measuring alone: what each format costs each weight, without a plan.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use samp_abi::TargetName;
use samp_ir::Diagnostic;
use samp_passes::QuantOptions;
use samp_runtime::Progress;

use super::{error::CompileError, stages::load_data, strict::refuse_warnings};
use crate::{
    certificate::Profile,
    emit::{Publication, WorkFolder},
    error_code,
    lower::{LowerOptions, ModelSource, check_limits, recipe::LoadedRecipe},
    quantize::{
        MeasureOptions,
        data::{CalibrationData, DataRequest},
        search::ProfileTask,
    },
};

/// A checkpoint and what is to be measured of it.
#[derive(Clone, Debug)]
pub struct MeasureRequest {
    /// The checkpoint's directory.
    pub model: PathBuf,
    /// What to measure on.
    pub data: DataRequest,
    /// How to measure.
    pub measure: MeasureOptions,
    /// The quality passes that will run.
    pub quality: QuantOptions,
    /// Positions of one sequence, as they will be compiled for; `None` is what the model was trained for.
    pub max_context: Option<u64>,
    /// These layers alone; the embedding goes with the first, the head with the last.
    pub layers: Option<Range<u64>>,
    /// A folder for what survives an interruption; it is removed afterwards.
    pub work: PathBuf,
    /// Refuse what there are warnings of before anything is measured.
    pub strict: bool,
}

impl MeasureRequest {
    fn lower_options(&self) -> LowerOptions {
        let MeasureRequest { max_context, quality, .. } = *self;
        LowerOptions { max_context, quality, ..LowerOptions::new(TargetName::Cpu, LoadedRecipe::samp()) }
    }
}

/// A checkpoint that is ready to be measured.
pub struct MeasureTask {
    source: ModelSource,
    data: CalibrationData,
    request: MeasureRequest,
}

impl MeasureTask {
    /// Opens the request's checkpoint and reads its data; refuses layers that it does not have.
    pub fn open(request: MeasureRequest) -> Result<MeasureTask, CompileError> {
        let source = ModelSource::open(&request.model)?;
        check_limits(&source, &request.lower_options())?;
        check_layers(request.layers.as_ref(), source.config().model.layers)?;
        let data = load_data(&source, &request.data, request.max_context)?;
        Ok(MeasureTask { source, data, request })
    }

    /// What import and the data warn of.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.source.warnings().iter().chain(&self.data.warnings)
    }

    /// Measures and writes the profile. What an interrupted run had measured is taken over.
    pub fn run(self, output: &Path, progress: &dyn Progress) -> Result<Profile, CompileError> {
        if self.request.strict {
            refuse_warnings(self.warnings())?;
        }
        let options = self.request.lower_options();
        let MeasureRequest { measure, layers, work, .. } = self.request;
        let (source, records) = (self.source, self.data.calibration);
        let work = WorkFolder::open(work, output)?;
        let task = ProfileTask { source, options, records, measure, layers, work: work.path() };
        let profile = task.run(progress)?;
        let publication = Publication::begin();
        profile.write(output)?;
        progress.published(output);
        work.remove()?;
        drop(publication);
        Ok(profile)
    }
}

/// Refuses layers that the model does not have.
fn check_layers(asked: Option<&Range<u64>>, layers: u64) -> Result<(), Diagnostic> {
    let Some(asked) = asked.filter(|asked| asked.end > layers) else { return Ok(()) };
    let message = format!(
        "--layers {}..{}: expected layers of the model, which has {layers}, 0..{layers}",
        asked.start, asked.end
    );
    Err(Diagnostic::bad_input(error_code::NO_SUCH_LAYER, message)
        .hint("count layers from 0; the last of a range is not included"))
}
