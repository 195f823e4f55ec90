//! The statistics of an evaluation: sums over records, means and their standard errors.

use schemars::JsonSchema;
use serde::Serialize;

use crate::statistics::{RecordSum, lower_bound, upper_bound};

/// A mean with its standard error and its bounds. Fewer than two records have none of these.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Estimate {
    /// The mean over all tokens.
    pub mean: f64,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// One-sided 95 % lower bound, as [`crate::statistics`] has it.
    pub at_least: Option<f64>,
    /// One-sided 95 % upper bound.
    pub at_most: Option<f64>,
}

impl Estimate {
    /// The estimate of a smooth, growing function of the mean; its standard error by the delta method.
    pub fn map(self, value: impl Fn(f64) -> f64, derivative: impl Fn(f64) -> f64) -> Estimate {
        Estimate {
            mean: value(self.mean),
            standard_error: self.standard_error.map(|se| se * derivative(self.mean).abs()),
            at_least: self.at_least.map(&value),
            at_most: self.at_most.map(&value),
        }
    }
}

/// Sums of a per-token quantity, kept by record: tokens of one record are not independent, so the standard
/// error is that of the ratio estimator over records (Cochran, Sampling Techniques, section 6.4).
#[derive(Debug, Clone, Default)]
pub struct ClusteredMean {
    records: Vec<RecordSum>,
}

impl ClusteredMean {
    /// Adds one record's sum over `tokens` tokens.
    pub fn add(&mut self, sum: f64, tokens: usize) {
        if tokens > 0 {
            self.records.push(RecordSum { sum, tokens: tokens as f64 });
        }
    }

    /// Tokens in all records.
    pub fn tokens(&self) -> u64 {
        self.records.iter().map(|record| record.tokens).sum::<f64>() as u64
    }

    /// The mean over all tokens; `None` without any.
    pub fn estimate(&self) -> Option<Estimate> {
        let (sum, tokens) =
            self.records.iter().fold((0.0, 0.0), |(sum, tokens), r| (sum + r.sum, tokens + r.tokens));
        if tokens == 0.0 {
            return None;
        }
        let mean = sum / tokens;
        let count = self.records.len() as f64;
        let squares: f64 = self.records.iter().map(|r| (r.sum - mean * r.tokens).powi(2)).sum();
        let standard_error = (count > 1.0).then(|| (squares * count / (count - 1.0)).sqrt() / tokens);
        let (at_least, at_most) = (lower_bound(&self.records), upper_bound(&self.records));
        Some(Estimate { mean, standard_error, at_least, at_most })
    }
}

/// Natural logarithms of the softmax of one row of logits, in f64.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
    let sum: f64 = logits.iter().map(|&l| (l as f64 - max).exp()).sum();
    let offset = max + sum.ln();
    logits.iter().map(|&l| l as f64 - offset).collect()
}

/// `KL(p ‖ q)` in nats for two rows of log-probabilities.
pub fn kl_divergence(log_p: &[f64], log_q: &[f64]) -> f64 {
    log_p.iter().zip(log_q).map(|(p, q)| p.exp() * (p - q)).sum()
}

/// Index of the largest logit, the first of equals.
pub fn argmax(logits: &[f32]) -> usize {
    (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_equal_length_give_the_textbook_standard_error() {
        let mut mean = ClusteredMean::default();
        for sum in [1.0, 2.0, 3.0, 4.0] {
            mean.add(sum, 1);
        }
        let estimate = mean.estimate().unwrap();
        assert_eq!(estimate.mean, 2.5);
        let variance: f64 = 5.0 / 3.0;
        assert!((estimate.standard_error.unwrap() - (variance / 4.0).sqrt()).abs() < 1e-12);
        assert!(estimate.at_least < Some(2.5) && estimate.at_most > Some(2.5));
    }

    #[test]
    fn a_single_record_has_no_standard_error() {
        let mut mean = ClusteredMean::default();
        assert!(mean.estimate().is_none());
        mean.add(3.0, 2);
        let one = Estimate { mean: 1.5, standard_error: None, at_least: None, at_most: None };
        assert_eq!(mean.estimate(), Some(one));
    }

    #[test]
    fn divergence_is_zero_of_itself_and_known_of_two_coins() {
        let fair = log_softmax(&[0.0, 0.0]);
        let skewed = log_softmax(&[3f32.ln(), 0.0]);
        assert!(kl_divergence(&fair, &fair).abs() < 1e-15);
        let expected = 0.5 * (0.5f64 / 0.75).ln() + 0.5 * (0.5f64 / 0.25).ln();
        assert!((kl_divergence(&fair, &skewed) - expected).abs() < 1e-7);
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
    }
}
