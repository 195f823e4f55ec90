//! How long work tells what it has done, and asks whether to go on. The libraries themselves print nothing.

use std::{ops::ControlFlow, path::Path};

/// Hears of long work: loading, calibrating, packing. Every method may be called from any thread.
pub trait Progress: Sync {
    /// A stage begins, such as `measuring`, of so many units; 0 where their number is not known.
    fn begin(&self, _stage: &str, _units: u64) {}

    /// So many more units of the stage are done, the last of them of this item. `Break` stops the work where it can be
    /// continued later, and is passed over elsewhere.
    fn advance(&self, _item: &str, _units: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// A line worth keeping, such as what an audit found.
    fn note(&self, _text: &str) {}

    /// Something to know before the work goes on, such as that earlier work is of no use to it.
    fn warn(&self, _text: &str) {}

    /// What was asked for lies at this path, whole.
    fn published(&self, _output: &Path) {}

    /// The stage is done, or stopped.
    fn end(&self) {}
}

/// For whoever does not want to hear of progress.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {}
