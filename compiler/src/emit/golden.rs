//! The golden probe: which tokens a new plan is run on, and which of its logits are kept to test it when it is loaded.

use std::path::Path;

use samp_abi::plan::{Golden, GoldenRow};
use samp_kernels::random::SplitMix64;

use super::error::{EmitError, ProbeError};
use crate::lower::PlanSpec;

/// Tokens of the probe.
const TOKENS: usize = 8;
/// Of each position, so many largest logits are kept,
const LARGEST: usize = 8;
/// and so many spread evenly over the vocabulary.
const SPREAD: usize = 56;
/// How many times the root mean square of what rounding changed the largest difference of another device may be.
const TOLERATED: f64 = 12.0;

/// Logits after the positions of a probe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeLogits {
    /// As this machine computes them, `[positions][vocab]`.
    pub exact: Vec<Vec<f32>>,
    /// The same with activations rounded as devices may round them: another sample of how far they come apart.
    pub rounded: Vec<Vec<f32>>,
}

/// Runs the plan in a folder on token ids; gives the logits after each of the positions.
pub type Probe<'a> = dyn Fn(&Path, &[u32], &[u32]) -> Result<ProbeLogits, ProbeError> + 'a;

/// Runs the probe on the plan in `folder`.
pub(super) fn make_golden(folder: &Path, spec: &PlanSpec, probe: &Probe<'_>) -> Result<Golden, EmitError> {
    let vocab_size = spec.model.vocab_size;
    let token_ids = probe_tokens(vocab_size, TOKENS.min(spec.limits.max_context as usize).max(1));
    // One in the middle, and the last, which depends on all tokens.
    let last = token_ids.len() as u32 - 1;
    let mut positions = vec![last / 2, last];
    positions.dedup();
    let logits = probe(folder, &token_ids, &positions)?;
    for logits in [&logits.exact, &logits.rounded] {
        if logits.len() != positions.len() || logits.iter().any(|row| row.len() as u64 != vocab_size) {
            return Err(ProbeError::Shape.into());
        }
        if logits.iter().flatten().any(|x| !x.is_finite()) {
            return Err(ProbeError::NotFinite.into());
        }
    }
    let row = |(&position, logits): (&u32, &Vec<f32>)| GoldenRow { position, logits: kept(logits) };
    let rows = positions.iter().zip(&logits.exact).map(row).collect();
    Ok(Golden { token_ids, tolerance: tolerance(&logits), rows })
}

/// The largest difference that devices may show from the exact logits.
fn tolerance(logits: &ProbeLogits) -> f64 {
    let pairs = logits.exact.iter().flatten().zip(logits.rounded.iter().flatten());
    let (squares, count) = pairs.fold((0.0, 0u64), |(squares, count), (&exact, &rounded)| {
        (squares + (f64::from(rounded) - f64::from(exact)).powi(2), count + 1)
    });
    TOLERATED * (squares / count as f64).sqrt()
}

/// Fixed pseudo-random tokens (from seed 0), so that every plan of a vocabulary has the same probe.
fn probe_tokens(vocab_size: u64, count: usize) -> Vec<u32> {
    let mut random = SplitMix64::new(0);
    (0..count).map(|_| (random.bits() % vocab_size) as u32).collect()
}

/// The largest logits, largest first (ties: lower token first), then an even sample of the others.
fn kept(logits: &[f32]) -> Vec<(u32, f32)> {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let logit = |token: u32| logits[token as usize];
    order.sort_by(|&a, &b| logit(b).total_cmp(&logit(a)).then(a.cmp(&b)));
    let mut tokens: Vec<u32> = order.into_iter().take(LARGEST).collect();
    for i in 0..SPREAD {
        let token = (i * logits.len() / SPREAD) as u32;
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    tokens.into_iter().map(|token| (token, logit(token))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_largest_and_an_even_sample() {
        let logits: Vec<f32> = (0..1000).map(|i| ((i * 37) % 1000) as f32).collect();
        let kept = kept(&logits);
        assert_eq!(kept[0].1, 999.0);
        assert!(kept.len() > 56 && kept.len() <= 64);
        assert!(kept.iter().all(|&(token, logit)| logits[token as usize] == logit));
        assert!(kept.iter().any(|&(token, _)| token > 900));
        let few = super::kept(&[1.0, 3.0, 2.0]);
        assert_eq!(few, [(1, 3.0), (2, 2.0), (0, 1.0)]);
    }

    #[test]
    fn probe_tokens_are_fixed_and_in_the_vocabulary() {
        assert_eq!(probe_tokens(4096, 8), probe_tokens(4096, 8));
        assert!(probe_tokens(7, 8).iter().all(|&t| t < 7));
        assert_eq!(probe_tokens(4096, 8).len(), 8);
    }
}
