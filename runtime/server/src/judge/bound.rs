//! How large the plan's divergence is at most, at any time: a confidence sequence by empirical Bernstein bets.

use serde::{Deserialize, Serialize};

/// The largest bet.
const MOST: f64 = 0.75;

/// An upper bound on a mean that holds at all times at once, with probability `1 − alpha`, whatever the distribution on
/// [0, 1] (Waudby-Smith and Ramdas 2024, theorem 2, one-sided).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpperBound {
    count: u64,
    /// For the plug-in estimates: sums of values and of squared deviations, each begun with one observation of 1/2.
    sum: f64,
    squares: f64,
    /// Σλ, Σλx, Σ v·ψ(λ).
    bets: f64,
    weighted: f64,
    spread: f64,
}

impl Default for UpperBound {
    fn default() -> UpperBound {
        UpperBound { count: 0, sum: 0.5, squares: 0.25, bets: 0.0, weighted: 0.0, spread: 0.0 }
    }
}

impl UpperBound {
    /// Takes in a value from 0 to 1, for a bound with so much doubt.
    pub fn observe(&mut self, value: f64, alpha: f64) {
        let t = (self.count + 1) as f64;
        let (mean, variance) = (self.sum / t, self.squares / t);
        let bet = (2.0 * (1.0 / alpha).ln() / (variance * t * (t + 1.0).ln())).sqrt().min(MOST);
        self.bets += bet;
        self.weighted += bet * value;
        // v·ψ(λ) with v = 4(x − mean)² and ψ(λ) = (−ln(1 − λ) − λ)/4.
        self.spread += (value - mean).powi(2) * (-(-bet).ln_1p() - bet);
        self.count += 1;
        self.sum += value;
        let updated = self.sum / (t + 1.0);
        self.squares += (value - updated).powi(2);
    }

    /// The bound; 1 before anything was seen.
    pub fn bound(&self, alpha: f64) -> f64 {
        if self.count == 0 {
            return 1.0;
        }
        ((self.weighted + self.spread + (1.0 / alpha).ln()) / self.bets).min(1.0)
    }

    /// How many values were taken in.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::testing::Random;

    #[test]
    fn the_mean_lies_below_the_bound_at_all_times() {
        let alpha = 0.05;
        let missed = (0..200).filter(|seed| {
            let (mut random, mut bound) = (Random::new(*seed), UpperBound::default());
            (0..1000).any(|_| {
                // Mean 0.05 on [0, 1]: mostly 0, now and then 1/2.
                bound.observe(if random.uniform() < 0.1 { 0.5 } else { 0.0 }, alpha);
                bound.bound(alpha) < 0.05
            })
        });
        let missed = missed.count();
        assert!(missed <= 16, "{missed} of 200 runs; 10 are expected at most on average");
    }

    #[test]
    fn the_bound_comes_close() {
        let (mut random, mut bound) = (Random::new(7), UpperBound::default());
        (0..3000).for_each(|_| bound.observe(random.log_normal(0.02, 1.0).min(1.0), 0.05));
        assert!((0.02..0.03).contains(&bound.bound(0.05)), "{}", bound.bound(0.05));
        assert_eq!((UpperBound::default().bound(0.05), bound.count()), (1.0, 3000));
    }
}
