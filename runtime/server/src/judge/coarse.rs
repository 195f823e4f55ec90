//! A divergence from a baseline of which only the likeliest tokens are known.

use samp_kernels::sample::reference::LogSum;

/// `KL(baseline ‖ plan)` in nats where all tokens that the baseline does not name are one: at least 0, and never above the
/// divergence over the whole vocabulary (merging outcomes loses information, Cover and Thomas 2006, theorem 2.8.1), so that what
/// it alarms of is true. `None` where the numbers are none, or name tokens that the plan does not have.
pub fn coarse_divergence(baseline: &[(u32, f32)], plan: &[f32]) -> Option<f64> {
    let log_sum = LogSum::new(plan);
    let (mut sum, mut rest, mut plan_rest) = (0.0, 1.0, 1.0);
    for (token, logprob) in baseline {
        let (p, q) = (f64::from(*logprob), f64::from(log_sum.logprob(*plan.get(*token as usize)?)));
        if p.is_nan() || q.is_nan() {
            return None;
        }
        if p > f64::NEG_INFINITY {
            sum += p.exp() * (p - q);
        }
        rest -= p.exp();
        plan_rest -= q.exp();
    }
    // Rounding may leave a little less than nothing.
    if rest > 1e-9 {
        sum += rest * (rest / plan_rest.max(1e-12)).ln();
    }
    sum.is_finite().then_some(sum.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::divergence;
    use proptest::prelude::*;

    fn top(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
        let log_sum = LogSum::new(logits);
        let tokens = samp_kernels::sample::reference::largest(logits, count);
        tokens.into_iter().map(|token| (token, log_sum.logprob(logits[token as usize]))).collect()
    }

    #[test]
    fn what_is_no_number_or_no_token_is_no_divergence() {
        assert_eq!(coarse_divergence(&[(0, f32::NAN)], &[0.0, 1.0]), None);
        assert_eq!(coarse_divergence(&[(7, -1.0)], &[0.0, 1.0]), None);
        assert_eq!(coarse_divergence(&[(0, -0.5)], &[f32::NAN, 1.0]), None);
    }

    proptest! {
        #[test]
        fn it_is_never_above_the_whole_and_with_all_tokens_the_same(
            pairs in prop::collection::vec((-6f32..6.0, -6f32..6.0), 2..40), count in 1usize..40,
        ) {
            let (baseline, plan): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let whole = divergence(&baseline, &plan).unwrap();
            let coarse = coarse_divergence(&top(&baseline, count), &plan).unwrap();
            prop_assert!((0.0..=whole + 1e-5).contains(&coarse), "{coarse} of {whole}");
            let all = coarse_divergence(&top(&baseline, baseline.len()), &plan).unwrap();
            prop_assert!((all - whole).abs() < 1e-4, "{all}, {whole}");
        }
    }
}
