//! What the passes that work on rounding did to the linears so far.

use samp_kernels::encoded::Encoded;

use super::{
    effects::{LinearChange, energy, error_factor, outputs, squared_error, without_outliers},
    plan_tensors::PlanTensorSlice,
};
use crate::{
    certificate::PassEffect,
    quantize::{baseline::decoded, error::QuantizeError},
};

/// The error of outputs before and after each pass, by linear.
#[derive(Default)]
pub(super) struct PassStats {
    corrected: Vec<LinearChange>,
    kept: Vec<LinearChange>,
    rounded: Vec<LinearChange>,
}

impl PassStats {
    /// The effect of each pass, in their order.
    pub(super) fn effects(&self) -> Vec<PassEffect> {
        let all = [
            ("correct_weights", &self.corrected),
            ("keep_outliers", &self.kept),
            ("round_weights", &self.rounded),
        ];
        let effect = |(pass, changes): (&str, &Vec<LinearChange>)| {
            let error = Some(error_factor(changes)?);
            Some(PassEffect { pass: pass.into(), error, logit_change: None })
        };
        all.into_iter().filter_map(effect).collect()
    }

    /// Notes what correcting a linear's weights did.
    pub(super) fn note_correction(&mut self, change: LinearChange) {
        self.corrected.push(change);
    }

    /// Notes what rounding made of a slice of `values` on the inputs `x`, each token's of `cols` columns.
    pub(super) fn note_rounding(
        &mut self,
        slice: &PlanTensorSlice<'_>,
        values: &[f32],
        encoded: &Encoded,
        cols: usize,
        x: &[f32],
    ) -> Result<(), QuantizeError> {
        let (own, linear) = (&values[slice.values.clone()], || slice.tensor.name.clone());
        let format = slice.tensor.format;
        if format.code_bits() >= 16 {
            return Ok(());
        }
        let all = energy(&outputs(own, cols, x)).max(f64::MIN_POSITIVE);
        let error = |encoded: &Encoded| squared_error(own, &decoded(encoded.view()), cols, x) / all;
        let plain = error(&slice.plain(values)?);
        if !slice.tensor.kept_columns().is_empty() {
            let before = error(&slice.nearest(values, without_outliers(format), &[])?);
            self.kept.push(LinearChange { linear: linear(), before, after: plain });
        }
        if slice.how().is_some() {
            self.rounded.push(LinearChange { linear: linear(), before: plain, after: error(encoded) });
        }
        Ok(())
    }
}
