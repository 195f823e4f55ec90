//! A model between two passes that keep its function.

use samp_abi::plan::TensorId;

use super::{
    effects::{LinearChange, energy, error_factor, outputs, squared_error, without_outliers},
    plan_tensors::slices,
};
use crate::{
    certificate::PassEffect,
    lower::PlanSpec,
    quantize::{
        baseline::decoded,
        error::QuantizeError,
        forward::{Forward, State},
        token_batch::TokenBatch,
    },
};

/// A model whose function the next passes keep: what its logits are, and what each linear would lose.
pub(crate) struct FunctionSnapshot {
    /// Of the tokens.
    logits: Vec<f32>,
    errors: Vec<LinearError>,
}

impl FunctionSnapshot {
    /// Rounds every linear of `forward`, whose tensors `baseline` says, to the formats that `plan` has for it, each alone and
    /// to the nearest value; formats of 16 bits and more lose nothing that a pass could save.
    pub(crate) fn new(
        forward: &mut Forward,
        baseline: &PlanSpec,
        plan: &PlanSpec,
        batch: &TokenBatch,
    ) -> Result<FunctionSnapshot, QuantizeError> {
        let (mut state, mut errors) = (State::default(), vec![]);
        for linear in forward.linears().into_iter().filter(|linear| !linear.tied) {
            let slices = slices(&baseline.tensors[linear.weight.0 as usize], plan);
            if slices.iter().all(|slice| slice.tensor.format.code_bits() >= 16) {
                continue;
            }
            state = forward.advance(batch, &state, linear.step, None);
            let values = forward.weights().matrix(linear.weight);
            let mut rounded = vec![];
            for slice in &slices {
                let encoded = slice.nearest(&values, without_outliers(slice.tensor.format), &[])?;
                rounded.extend(decoded(encoded.view()));
            }
            let (cols, x) = (forward.weights().cols(linear.weight), state.get(linear.x));
            let all = energy(&outputs(&values, cols, x)).max(f64::MIN_POSITIVE);
            let error = squared_error(&values, &rounded, cols, x) / all;
            errors.push(LinearError { weight: linear.weight, key: linear.key, error });
        }
        Ok(FunctionSnapshot { logits: forward.logits(batch, &state).to_vec(), errors })
    }

    /// What a pass did that made `after` of this model and changed the weights of these tensors.
    pub(crate) fn effect(
        &self,
        pass: &str,
        after: &FunctionSnapshot,
        changed: &dyn Fn(TensorId) -> bool,
    ) -> PassEffect {
        let change = |(before, after): (&LinearError, &LinearError)| {
            let (linear, before_error) = (before.key.clone(), before.error);
            let change = LinearChange { linear, before: before_error, after: after.error };
            changed(before.weight).then_some(change)
        };
        let changes: Vec<LinearChange> = self.errors.iter().zip(&after.errors).filter_map(change).collect();
        let moved = self.logits.iter().zip(&after.logits).map(|(a, b)| f64::from((a - b).abs()));
        PassEffect {
            pass: pass.into(),
            error: error_factor(&changes),
            logit_change: Some(moved.fold(0.0, f64::max)),
        }
    }
}

/// The share of error that a linear's outputs have if its weight is rounded to the nearest value.
struct LinearError {
    weight: TensorId,
    key: String,
    error: f64,
}
