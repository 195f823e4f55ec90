//! Which weights are measured.

use std::collections::BTreeMap;

use crate::certificate::WeightProfile;

/// Which weights to measure, and what is known of them from before.
pub(in crate::quantize) struct MeasureScope<'a> {
    /// Whether to measure the weight of this name.
    pub contains: &'a dyn Fn(&str) -> bool,
    /// What an interrupted run or another one had measured.
    pub known: &'a BTreeMap<String, WeightProfile>,
}

impl MeasureScope<'_> {
    /// Whether the weight of this name is yet to be measured.
    pub(super) fn wants(&self, key: &str) -> bool {
        (self.contains)(key) && !self.known.contains_key(key)
    }
}
