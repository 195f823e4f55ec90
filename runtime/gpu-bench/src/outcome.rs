//! Work as units one after another, each told of before it is launched, so that whoever reads along knows what a GPU failed at.

use samp_runtime::device::gpu::Driver;

use crate::{Gpu, GpuError};

/// How lines begin: before a unit, and what came of it.
pub(crate) const TRY: &str = "try   ";
const HELD: &str = "ok    ";
const WRONG: &str = "WRONG ";
const LEFT_OUT: &str = "left  ";

/// What came of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It held; how, for people.
    Held(String),
    /// What is wrong with it, its name among it.
    Wrong(String),
    /// This GPU cannot do it.
    LeftOut,
}

/// What came of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Units that held.
    pub held: usize,
    /// What was wrong with the others.
    pub wrong: Vec<String>,
    /// Units that this GPU cannot do.
    pub left_out: usize,
}

impl Summary {
    /// Counts what a line tells.
    pub(crate) fn count(&mut self, line: &str) {
        self.held += usize::from(line.starts_with(HELD));
        self.left_out += usize::from(line.starts_with(LEFT_OUT));
        self.wrong.extend(line.strip_prefix(WRONG).map(str::to_owned));
    }

    /// Tells of something wrong, and counts it.
    pub(crate) fn wrong(&mut self, what: &str, tell: &mut dyn FnMut(&str)) {
        let line = format!("{WRONG}{what}");
        tell(&line);
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

    /// Does units one after another and tells of each. One that fails is wrong like one whose result is; a GPU that does
    /// nothing any more ends it, with the unit's name in the error.
    pub fn each<U>(
        &self,
        units: &[U],
        name: impl Fn(&U) -> String,
        mut one: impl FnMut(&U) -> Result<Outcome, GpuError>,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Summary, GpuError> {
        let mut tally = Summary::default();
        for unit in units {
            let name = name(unit);
            tell(&format!("{TRY}{name}"));
            let line = match one(unit) {
                Ok(Outcome::Held(how)) => format!("{HELD}{name}{how}"),
                Ok(Outcome::Wrong(what)) => format!("{WRONG}{what}"),
                Ok(Outcome::LeftOut) => format!("{LEFT_OUT}{name}"),
                Err(error) => format!("{WRONG}{name}: {}", self.unless_lost(&name, error)?),
            };
            tell(&line);
            tally.count(&line);
        }
        Ok(tally)
    }
}
