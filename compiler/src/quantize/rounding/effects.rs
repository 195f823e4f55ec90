//! What each quality pass does to the outputs of the linears that it changes, measured on the first calibration tokens.

use samp_abi::{Format, Layout};
use samp_kernels::linear::{self, LinearArgs};

use crate::{certificate::ErrorFactor, quantize::baseline::stored};

/// Tokens behind every effect, or all of the records that these end in: the error of thousands of outputs on each is compared.
pub(crate) const EFFECT_TOKENS: usize = 512;
/// A linear that has less than this part of the mean error is not called the worst: there is nothing to lose.
const COUNTS: f64 = 0.01;

/// The error of one linear's outputs, relative to their energy, without a pass and with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LinearChange {
    /// Its name.
    pub linear: String,
    /// Without.
    pub before: f64,
    /// With.
    pub after: f64,
}

/// The factor over some linears; `None` where none has an error without the pass.
pub(super) fn error_factor(changes: &[LinearChange]) -> Option<ErrorFactor> {
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
pub(super) fn squared_error(weights: &[f32], rounded: &[f32], cols: usize, x: &[f32]) -> f64 {
    let difference: Vec<f32> = weights.iter().zip(rounded).map(|(w, q)| w - q).collect();
    energy(&outputs(&difference, cols, x))
}

/// The same format without outlier columns in f16.
pub(super) fn without_outliers(format: Format) -> Format {
    if format == Format::INT8_OUTLIERS { Format::INT8 } else { format }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::PassEffect;

    fn change(linear: &str, before: f64, after: f64) -> LinearChange {
        LinearChange { linear: linear.into(), before, after }
    }

    #[test]
    fn errors_are_weighed_by_what_they_were() {
        let changes = [change("a", 3.0, 1.5), change("b", 1.0, 0.9), change("next to nothing", 1e-6, 1e-5)];
        let factor = error_factor(&changes).unwrap();
        assert!((factor.mean - 2.4 / 4.0).abs() < 1e-5 && factor.worst == 0.9, "{factor:?}");
        let effect = PassEffect { pass: "p".into(), error: Some(factor), logit_change: Some(2e-6) };
        assert_eq!(
            effect.to_string(),
            "output error × 0.600, at worst × 0.900 (b); function preserved, largest change of a logit 2.0e-6"
        );
        assert_eq!(error_factor(&[change("a", 0.0, 0.0)]), None);
        assert_eq!(error_factor(&[]), None);
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
        assert_eq!(squared_error(&weights, &rounded, 64, &x), 0.25);
    }
}
