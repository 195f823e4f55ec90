//! Work as units one after another, each told of before it is launched, so that whoever reads along knows what a GPU failed at.

use samp_runtime::{Progress, device::gpu::Driver};

use crate::{error::GpuError, gpu::Gpu};

/// How lines begin: before a unit, and what came of it.
pub(crate) const TRY: &str = "try   ";
const PASSED: &str = "ok    ";
const FAILED: &str = "WRONG ";
const SKIPPED: &str = "left  ";

/// What came of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it must be; how, for people.
    Passed(String),
    /// What is wrong with it, its name among it.
    Failed(String),
    /// This GPU cannot do it.
    Skipped,
}

/// What came of several units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Units that are as they must be.
    pub passed: usize,
    /// What was wrong with each that is not.
    pub failures: Vec<String>,
    /// Units that this GPU cannot do.
    pub skipped: usize,
}

impl Summary {
    /// Counts what a line tells.
    pub(crate) fn count(&mut self, line: &str) {
        self.passed += usize::from(line.starts_with(PASSED));
        self.skipped += usize::from(line.starts_with(SKIPPED));
        self.failures.extend(line.strip_prefix(FAILED).map(str::to_owned));
    }

    /// Tells of something wrong, and counts it.
    pub(crate) fn fail(&mut self, what: &str, progress: &dyn Progress) {
        let line = format!("{FAILED}{what}");
        progress.note(&line);
        self.count(&line);
    }
}

impl<D: Driver> Gpu<'_, D> {
    /// The error of a unit, where the rest can go on: what is wrong with code or memory passes, and after a fault all that is
    /// asked of this process's GPU fails.
    pub(crate) fn unless_lost(&self, unit: &str, error: GpuError) -> Result<GpuError, GpuError> {
        match self.driver.synchronize() {
            Ok(()) => Ok(error),
            Err(_) => Err(GpuError::Lost { unit: unit.into(), error: Box::new(error) }),
        }
    }

    /// Does units one after another and notes each. One that fails is wrong like one whose result is; a GPU that does
    /// nothing any more ends it, with the unit's name in the error.
    pub fn run_units<U>(
        &self,
        units: &[U],
        name: impl Fn(&U) -> String,
        mut run: impl FnMut(&U) -> Result<Outcome, GpuError>,
        progress: &dyn Progress,
    ) -> Result<Summary, GpuError> {
        let mut summary = Summary::default();
        for unit in units {
            let name = name(unit);
            progress.note(&format!("{TRY}{name}"));
            let line = match run(unit) {
                Ok(Outcome::Passed(how)) => format!("{PASSED}{name}{how}"),
                Ok(Outcome::Failed(what)) => format!("{FAILED}{what}"),
                Ok(Outcome::Skipped) => format!("{SKIPPED}{name}"),
                Err(error) => format!("{FAILED}{name}: {}", self.unless_lost(&name, error)?),
            };
            progress.note(&line);
            summary.count(&line);
        }
        Ok(summary)
    }
}
