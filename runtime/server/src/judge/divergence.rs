//! How far the plan's predictions are from the baseline's, at one position.

/// `KL(baseline ‖ plan)` in nats, over the whole vocabulary (Kullback and Leibler 1951): the certificate's own measure. `None`
/// where logits are no numbers, or the plan gives no chance to what the baseline does.
pub fn divergence(baseline: &[f32], plan: &[f32]) -> Option<f64> {
    let (baseline, plan) = (LogProbs::new(baseline)?, LogProbs::new(plan)?);
    let terms = baseline
        .iter()
        .zip(plan.iter())
        .map(|(p, q)| if p == f64::NEG_INFINITY { 0.0 } else { p.exp() * (p - q) });
    let sum: f64 = terms.sum();
    // Rounding may leave the divergence of equal predictions a little below 0.
    sum.is_finite().then_some(sum.max(0.0))
}

/// Logits with the logarithm of the sum of their exponentials.
struct LogProbs<'l> {
    logits: &'l [f32],
    log_sum: f64,
}

impl<'l> LogProbs<'l> {
    fn new(logits: &'l [f32]) -> Option<LogProbs<'l>> {
        let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - most).exp()).sum();
        let log_sum = most + sum.ln();
        log_sum.is_finite().then_some(LogProbs { logits, log_sum })
    }

    fn iter(&self) -> impl Iterator<Item = f64> {
        self.logits.iter().map(|logit| f64::from(*logit) - self.log_sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_definition() {
        let (p, q) = ([0.5f64, 0.25, 0.25], [0.25f64, 0.5, 0.25]);
        let logits = |probabilities: [f64; 3]| probabilities.map(|p| (p.ln() + 3.0) as f32);
        let expected: f64 = p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum();
        assert!((divergence(&logits(p), &logits(q)).unwrap() - expected).abs() < 1e-6);
        assert_eq!(divergence(&logits(p), &logits(p)), Some(0.0));
    }

    #[test]
    fn what_is_no_number_is_no_divergence() {
        assert_eq!(divergence(&[f32::NAN, 0.0], &[0.0, 0.0]), None);
        assert_eq!(divergence(&[0.0, 0.0], &[f32::NEG_INFINITY, 0.0]), None);
        assert!(divergence(&[f32::NEG_INFINITY, 0.0], &[0.0, 0.0]).is_some());
    }
}
