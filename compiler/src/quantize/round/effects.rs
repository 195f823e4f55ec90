//! What each quality pass does to the outputs of the linears that it changes, measured on the first calibration tokens.

use std::fmt;

use samp_abi::{Format, Layout, plan::TensorId};
use samp_kernels::linear::{self, LinearArgs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan_tensors::slices;
use crate::lower::PlanSpec;
use crate::quantize::{
    CalibrationError, Forward, State, TokenBatch,
    baseline::{decoded, stored},
};

/// Tokens behind every effect, or all of the records that these end in: the error of thousands of outputs on each is compared.
pub const EFFECT_TOKENS: usize = 512;
/// A linear that has less than this part of the mean error is not called the worst: there is nothing to lose.
const COUNTS: f64 = 0.01;

/// What one quality pass did, as measured while compiling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassEffect {
    /// The pass, such as `equalize`.
    pub pass: String,
    /// What it did to the error of outputs; null where none of the linears that it changed has any.
    pub error: Option<ErrorFactor>,
    /// The most that it moved a logit, of a pass that keeps the function; null of others.
    pub logit_change: Option<f64>,
}

/// The squared error of outputs on calibration tokens with a pass, over that without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorFactor {
    /// Linears that it changed.
    pub linears: usize,
    /// Over all of them, each error relative to the energy of the linear's outputs.
    pub mean: f64,
    /// Where it did worst; linears without a hundredth of the mean error do not count.
    pub worst: f64,
    /// Which that is.
    pub worst_linear: String,
}

/// The error of one linear's outputs, relative to their energy, without a pass and with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its name.
    pub linear: String,
    /// Without.
    pub before: f64,
    /// With.
    pub after: f64,
}

impl ErrorFactor {
    /// The factor over some linears; `None` where none has an error without the pass.
    pub fn of(changes: &[Change]) -> Option<ErrorFactor> {
        let (before, after) = changes.iter().fold((0.0, 0.0), |(b, a), c| (b + c.before, a + c.after));
        let mean_before = before / changes.len().max(1) as f64;
        let counts = changes.iter().filter(|c| c.before > 0.0 && c.before >= COUNTS * mean_before);
        let worst = counts.max_by(|a, b| (a.after / a.before).total_cmp(&(b.after / b.before)))?;
        Some(ErrorFactor {
            linears: changes.len(),
            mean: after / before,
            worst: worst.after / worst.before,
            worst_linear: worst.linear.clone(),
        })
    }
}

impl fmt::Display for PassEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.error.as_ref().map(ErrorFactor::to_string);
        let kept =
            self.logit_change.map(|most| format!("function preserved, largest change of a logit {most:.1e}"));
        f.write_str(&error.into_iter().chain(kept).collect::<Vec<_>>().join("; "))
    }
}

impl fmt::Display for ErrorFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output error × {:.3}, at worst × {:.3} ({})", self.mean, self.worst, self.worst_linear)
    }
}

/// `W xᵀ` for every token: `[tokens, rows]`.
pub(super) fn outputs(weights: &[f32], cols: usize, x: &[f32]) -> Vec<f32> {
    let weight = stored(weights, cols, Layout::Rows16);
    let mut out = vec![0.0; x.len() / cols * (weights.len() / cols)];
    linear::panel(LinearArgs { x, weight: weight.view(), bias: None, out: &mut out });
    out
}

/// Sum of squares.
pub(super) fn energy(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum()
}

/// The energy of what a rounded weight's outputs are off by.
pub(super) fn squared_error(weights: &[f32], rounded: &[f32], (cols, x): (usize, &[f32])) -> f64 {
    let difference: Vec<f32> = weights.iter().zip(rounded).map(|(w, q)| w - q).collect();
    energy(&outputs(&difference, cols, x))
}

/// A model whose function the next passes keep: what its logits are, and what each linear would lose.
pub struct Shape {
    /// Of the tokens.
    logits: Vec<f32>,
    /// By tensor, the share of error that each linear's outputs have if its weight is rounded to the nearest value.
    errors: Vec<(TensorId, String, f64)>,
}

impl Shape {
    /// Rounds every linear of `forward`, whose tensors `master` says, to the formats that `plan` has for it, each alone and
    /// to the nearest value; formats of 16 bits and more lose nothing that a pass could save.
    pub fn of(
        forward: &mut Forward,
        (master, plan): (&PlanSpec, &PlanSpec),
        batch: &TokenBatch,
    ) -> Result<Shape, CalibrationError> {
        let (mut state, mut errors) = (State::default(), vec![]);
        for linear in forward.linears().into_iter().filter(|linear| !linear.tied) {
            let slices = slices(&master.tensors[linear.weight.0 as usize], plan);
            if slices.iter().all(|piece| piece.tensor.format.code_bits() >= 16) {
                continue;
            }
            state = forward.advance(batch, &state, linear.step, None);
            let values = forward.weights().matrix(linear.weight);
            let mut rounded = vec![];
            for piece in &slices {
                let encoded = piece.nearest(&values, without_outliers(piece.tensor.format), &[])?;
                rounded.extend(decoded(encoded.view()));
            }
            let (cols, x) = (forward.weights().cols(linear.weight), state.get(linear.x));
            let whole = energy(&outputs(&values, cols, x)).max(f64::MIN_POSITIVE);
            errors.push((linear.weight, linear.key, squared_error(&values, &rounded, (cols, x)) / whole));
        }
        Ok(Shape { logits: forward.logits(batch, &state).to_vec(), errors })
    }

    /// What a pass did that made `after` of this model and changed the weights of these tensors.
    pub fn effect(&self, pass: &str, after: &Shape, changed: &dyn Fn(TensorId) -> bool) -> PassEffect {
        let change = |((id, key, before), (_, _, after)): (&(TensorId, String, f64), &(_, _, f64))| {
            let (linear, before, after) = (key.clone(), *before, *after);
            changed(*id).then_some(Change { linear, before, after })
        };
        let changes: Vec<Change> = self.errors.iter().zip(&after.errors).filter_map(change).collect();
        let moved = self.logits.iter().zip(&after.logits).map(|(a, b)| f64::from((a - b).abs()));
        PassEffect {
            pass: pass.into(),
            error: ErrorFactor::of(&changes),
            logit_change: Some(moved.fold(0.0, f64::max)),
        }
    }
}

/// The same format with nothing kept apart.
pub(super) fn without_outliers(format: Format) -> Format {
    if format == Format::INT8_OUTLIERS { Format::INT8 } else { format }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(linear: &str, before: f64, after: f64) -> Change {
        Change { linear: linear.into(), before, after }
    }

    #[test]
    fn errors_are_weighed_by_what_they_were() {
        let changes = [change("a", 3.0, 1.5), change("b", 1.0, 0.9), change("next to nothing", 1e-6, 1e-5)];
        let factor = ErrorFactor::of(&changes).unwrap();
        assert!((factor.mean - 2.4 / 4.0).abs() < 1e-5 && factor.worst == 0.9, "{factor:?}");
        let effect = PassEffect { pass: "p".into(), error: Some(factor), logit_change: Some(2e-6) };
        assert_eq!(
            effect.to_string(),
            "output error × 0.600, at worst × 0.900 (b); function preserved, largest change of a logit 2.0e-6"
        );
        assert_eq!(ErrorFactor::of(&[change("a", 0.0, 0.0)]), None);
        assert_eq!(ErrorFactor::of(&[]), None);
    }

    #[test]
    fn errors_are_those_of_outputs() {
        // Two rows of 64 columns, three tokens; the error is in a column that only the last token reads.
        let weights: Vec<f32> = (0..128).map(|i| if i % 64 < 2 { 1.0 } else { 0.0 }).collect();
        let mut x = vec![0.0f32; 3 * 64];
        (x[0], x[64], x[128], x[129]) = (1.0, 2.0, 1.0, 1.0);
        let mut rounded = weights.clone();
        rounded[65] = 1.5;
        assert_eq!(outputs(&weights, 64, &x), [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(energy(&outputs(&weights, 64, &x)), 18.0);
        assert_eq!(squared_error(&weights, &rounded, (64, &x)), 0.25);
    }
}
