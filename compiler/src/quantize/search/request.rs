//! What is asked of a search.

use samp_passes::Constraints;

use super::loss_limits::LossLimits;
use crate::{certificate::Profile, quantize::measure_options::MeasureOptions};

/// What is asked of a search.
#[derive(Clone, Debug)]
pub(crate) struct SearchRequest {
    /// Limits and objective; limits on losses come from `loss_limits`.
    pub constraints: Constraints,
    /// How much perplexity may grow.
    pub loss_limits: LossLimits,
    /// What is measured.
    pub measure: MeasureOptions,
    /// What was measured before.
    pub profile: Option<Profile>,
    /// Seed of the additivity samples.
    pub seed: u64,
    /// Random assignments to audit before deciding, which tell how far measured losses add up.
    pub additivity_samples: usize,
}
