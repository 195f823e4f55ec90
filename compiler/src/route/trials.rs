//! How far measured losses add up: random assignments, predicted by the sum of their measured losses and audited.

use samp_abi::Format;

use super::{profiling::at_least, settle::Search};
use crate::{calibrate::Programs, random::Random};

/// Tokens that a trial's weights are rounded under, at least so many.
const TOKENS: usize = 16_384;

/// One assignment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// The sum of the measured losses, nats per token.
    pub predicted: f64,
    /// What the audit found, nats per token.
    pub audited: f64,
}

impl Search<'_> {
    /// Audits `count` assignments drawn by `seed`, rounded under some of the tokens. In each, every weight takes its first format with a probability of the
    /// assignment's own and any other otherwise, so that they range from cheap to dear.
    pub fn trials(&self, programs: &mut Programs, count: usize, seed: u64) -> anyhow::Result<Vec<Trial>> {
        let mut random = Random(seed);
        let mut trials = vec![];
        let (batches, audit) = self.data;
        let tokens = at_least(batches, TOKENS, |batch| batch.token_ids.len());
        let search = Search { data: (&batches[..tokens], audit), ..*self };
        for index in 0..count {
            let share = random.below(101);
            let (mut formats, mut predicted): (Vec<(String, Format)>, f64) = (vec![], 0.0);
            for weight in self.known.weights.iter().filter(|weight| !weight.formats.is_empty()) {
                let first = random.below(100) < share;
                let cost = &weight.formats[if first { 0 } else { random.below(weight.formats.len()) }];
                predicted += cost.nats;
                formats.push((weight.key.clone(), cost.format));
            }
            let audited = search.audited(programs, &self.recipe_of(&formats), "trial")?.held.overall.kl_nats;
            (self.say)(&format!(
                "trial {} of {count}: predicted {predicted:.6}, audited {audited:.6} nats per token",
                index + 1
            ));
            trials.push(Trial { predicted, audited });
        }
        Ok(trials)
    }
}

/// Spearman's rank correlation of predictions and audits; equal values share their mean rank. 1 of fewer than two.
pub fn rank_correlation(trials: &[Trial]) -> f64 {
    let predicted = ranks(&trials.iter().map(|t| t.predicted).collect::<Vec<_>>());
    let audited = ranks(&trials.iter().map(|t| t.audited).collect::<Vec<_>>());
    let mean = (trials.len() as f64 - 1.0) / 2.0;
    let product =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| (x - mean) * (y - mean)).sum() };
    let scale = (product(&predicted, &predicted) * product(&audited, &audited)).sqrt();
    if scale > 0.0 { product(&predicted, &audited) / scale } else { 1.0 }
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |x: &f64| {
        let below = values.iter().filter(|y| *y < x).count();
        let equal = values.iter().filter(|y| *y == x).count();
        below as f64 + (equal as f64 - 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate() {
        let trials = |pairs: &[(f64, f64)]| -> Vec<Trial> {
            pairs.iter().map(|&(predicted, audited)| Trial { predicted, audited }).collect()
        };
        assert_eq!(rank_correlation(&trials(&[(1.0, 10.0), (2.0, 50.0), (3.0, 51.0)])), 1.0);
        assert_eq!(rank_correlation(&trials(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)])), -1.0);
        // By hand: ranks 0, 1.5, 1.5, 3 against 0, 2, 1, 3.
        let tied = rank_correlation(&trials(&[(1.0, 1.0), (2.0, 3.0), (2.0, 2.0), (3.0, 4.0)]));
        assert!((tied - 4.5 / (4.5f64 * 5.0).sqrt()).abs() < 1e-12, "{tied}");
        assert_eq!(rank_correlation(&[]), 1.0);
    }
}
