//! What the judge holds the plan to.

use std::time::Duration;

/// Requests between two false alarms, on average, over all strata together.
pub const ALARM: f64 = 1e6;
/// Doubt of the bound by which a canary goes on.
pub const ALPHA: f64 = 0.01;
/// Divergences above this many limits count as so many in the bound; the alarm sees them whole.
pub const CLIP: f64 = 20.0;
/// Requests that a canary's step takes at least.
pub const LEAST_REQUESTS: u64 = 50;
/// Strata that are told apart; requests of others are of `other`.
pub const MAX_STRATA: usize = 16;

/// What the judge holds the plan to.
#[derive(Clone, Debug)]
pub struct JudgeSettings {
    /// The largest mean divergence, in nats a token.
    pub limit: f64,
    /// Parts of the requests that the plan answers, step by step, before it answers all; none where it does so at once.
    pub canary: Vec<f64>,
    /// How long a plan that was rolled back rests before it may try again.
    pub hold: Duration,
}

impl JudgeSettings {
    /// The limit of a drift: `exp(KL) − 1` is how much the baseline's perplexity grows on its own text.
    pub fn limit_of_drift(drift: f64) -> f64 {
        drift.ln_1p()
    }
}
