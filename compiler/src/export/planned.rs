//! A weight of an export before it is written.

use samp_runtime::OpenPlan;

use super::{encoding::Choice, report::ExportedTensor, weight::CheckpointWeight};

/// A weight, and how it will be stored.
pub(super) struct PlannedWeight {
    pub(super) weight: CheckpointWeight,
    pub(super) choice: Choice,
}

impl PlannedWeight {
    pub(super) fn bytes(&self) -> u64 {
        self.choice.encoding.parts(&self.weight).iter().map(|part| part.bytes()).sum()
    }

    pub(super) fn part_names(&self) -> Vec<String> {
        self.choice.encoding.parts(&self.weight).into_iter().map(|part| part.name).collect()
    }

    pub(super) fn report(&self, plan: &OpenPlan) -> ExportedTensor {
        ExportedTensor {
            name: self.weight.name.clone(),
            formats: self.weight.formats(plan.manifest()),
            encoding: self.choice.encoding.name(),
            largest_relative_error: 0.0,
            rounded: self.choice.rounded.clone(),
        }
    }
}
