//! What all sums are of.

use crate::quantize::{
    calibration_tokens::CalibrationTokens, measure_options::MeasureOptions, token_batch::TokenBatch,
};

/// Draws of the divergence's root for each prediction.
pub(super) const DRAWS: u64 = 1;

/// What all sums are of.
pub(super) struct Basis<'a> {
    pub tokens: &'a CalibrationTokens,
    pub options: &'a MeasureOptions,
}

impl<'a> Basis<'a> {
    pub(super) fn batch(&self, index: usize) -> &'a TokenBatch {
        &self.tokens.for_hessians()[index]
    }
}
