//! Whether the plan's divergence has come to exceed its limit, at whatever time: an e-detector.
//!
//! Let `x` be a request's divergence over the limit. Where the limit holds, `1 + λ(x − 1)` has a mean of at most 1 for every
//! `λ` in [0, 1), whatever the distribution: divergences are never negative, and nothing is assumed of their tails. The
//! Shiryaev–Roberts sum `R ← (R + 1)(1 + λ(x − 1))` of such bets is an e-detector (Shin, Ramdas and Rinaldo 2024): alarming at
//! `R ≥ A` there are on average at least `A` requests to a false alarm. A good past does not bury later evidence, as it does
//! in a product of all bets. The average over several `λ` is an e-detector too.

use serde::{Deserialize, Serialize};

/// Bets, from careful to bold. Small drifts are found by careful ones, large ones at once by bold ones.
const BETS: [f64; 7] = [0.01, 0.03, 0.08, 0.15, 0.3, 0.5, 0.8];

/// The evidence that the limit is exceeded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    /// Of each bet, `ln(R + 1)`: sums outgrow numbers.
    logs: [f64; BETS.len()],
}

impl Detector {
    /// Takes in a request's divergence over the limit, at least 0.
    pub fn observe(&mut self, over_limit: f64) {
        for (log, bet) in self.logs.iter_mut().zip(BETS) {
            let log_sum = *log + (bet * (over_limit - 1.0)).ln_1p();
            *log = log_sum.max(0.0) + (-log_sum.abs()).exp().ln_1p();
        }
    }

    /// The logarithm of the average of the sums.
    pub fn log_evidence(&self) -> f64 {
        let most = self.logs.iter().copied().fold(0.0, f64::max);
        let sum: f64 = self.logs.iter().map(|log| (log - most).exp() - (-most).exp()).sum();
        most + (sum / BETS.len() as f64).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::testing::Random;

    /// Requests until an alarm at `A`, if one comes within `most`. Divergences are log-normal around `mean` with a deviation of
    /// 1.5 means: more than was measured.
    fn until_alarm(seed: u64, mean: f64, most: usize, warm: usize) -> Option<usize> {
        let (mut random, mut detector) = (Random::new(seed), Detector::default());
        (0..warm).for_each(|_| detector.observe(random.log_normal(0.3, 1.5)));
        (1..=most).find(|_| {
            detector.observe(random.log_normal(mean, 1.5));
            detector.log_evidence() >= 1e6f64.ln()
        })
    }

    #[test]
    fn twice_the_limit_is_found_within_200_requests_in_95_of_100_runs() {
        for warm in [0, 5000] {
            let found = (0..100).filter(|seed| until_alarm(*seed, 2.0, 200, warm).is_some()).count();
            println!("after {warm} good requests: {found} of 100");
            assert!(found >= 95, "{found} of 100 after {warm} good requests");
        }
    }

    #[test]
    fn a_plan_within_its_limit_is_left_alone() {
        for mean in [0.5, 0.9, 1.0] {
            let alarms = (0..100).filter(|seed| until_alarm(1000 + seed, mean, 5000, 0).is_some()).count();
            assert_eq!(alarms, 0, "at {mean} of the limit");
        }
    }

    #[test]
    fn evidence_outgrows_no_number() {
        let mut detector = Detector::default();
        (0..1000).for_each(|_| detector.observe(100.0));
        assert!((1000.0..1e4).contains(&detector.log_evidence()), "{}", detector.log_evidence());
        (0..100_000).for_each(|_| detector.observe(0.0));
        assert!(detector.log_evidence() < 5.0, "{}", detector.log_evidence());
    }
}
