//! The scales by which pairs of linears are equalized.

use std::collections::BTreeMap;

use samp_passes::transform::Pair;

/// The scale of every channel of every pair that the `equalize` pass found, by the pair's name: producer rows are divided
/// by it, consumer columns multiplied.
#[derive(Clone, Debug, Default)]
pub struct EqualizationScales(pub(super) BTreeMap<String, Vec<f32>>);

impl EqualizationScales {
    /// The scales of a pair, if it is equalized.
    pub fn scales(&self, pair: &Pair) -> Option<&[f32]> {
        self.0.get(&pair.name).map(Vec::as_slice)
    }
}
