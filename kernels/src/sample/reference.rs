//! What choosing a token means, in plain loops.

use std::cmp::Ordering;

use super::weights::{LIKELIEST, Weights};
use crate::args::{SampleArgs, SampleRequest, SampledToken, SamplingParams};

/// Chooses the token of each row, as [`SampleArgs`] says.
pub fn sample(args: SampleArgs<'_>) {
    args.into_rows().for_each(|(logits, request, out)| *out = sample_row(logits, request));
}

/// Chooses the token of a row, with its log-probability.
pub(super) fn sample_row(logits: &[f32], request: &SampleRequest) -> Option<SampledToken> {
    let token = choose(logits, &request.params, request.draw)?;
    Some(SampledToken { token, logprob: LogSum::new(logits).logprob(logits[token as usize]) })
}

/// The logarithm of the sum of the exponentials of logits: of the largest, which is finite, and what all add to it. Apart, so
/// that the latter is not lost beside a huge logit.
#[derive(Clone, Copy, Debug)]
pub struct LogSum {
    most: f64,
    rest: f64,
}

impl LogSum {
    /// Over all logits of a row.
    pub fn new(logits: &[f32]) -> LogSum {
        let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - most).exp()).sum();
        LogSum { most, rest: sum.ln() }
    }

    /// The log-probability of the token with this logit.
    pub fn logprob(&self, logit: f32) -> f32 {
        (f64::from(logit) - self.most - self.rest) as f32
    }
}

/// The token that `draw`, 64 random bits of which the upper 53 count, names among those that the filters leave. `None` where
/// a logit is NaN or positive infinity, or none is finite.
pub fn choose(logits: &[f32], params: &SamplingParams, draw: u64) -> Option<u32> {
    let wrong = |logit: &f32| logit.is_nan() || *logit == f32::INFINITY;
    let likeliest = *largest(logits, 1).first()?;
    let most = logits[likeliest as usize];
    if logits.iter().any(wrong) || most == f32::NEG_INFINITY {
        return None;
    }
    if params.temperature == 0.0 {
        return Some(likeliest);
    }
    let SamplingParams { top_k, top_p, min_p, temperature } = *params;
    let tokens: Vec<u32> = match top_k {
        0 if top_p >= 1.0 => (0..logits.len() as u32).collect(),
        0 => largest(logits, logits.len()),
        _ => largest(logits, top_k as usize),
    };
    let weights = Weights::new(most, temperature);
    let mut weights: Vec<u64> = tokens.iter().map(|token| weights.weight(logits[*token as usize])).collect();
    let mut left: u64 = weights.iter().sum();
    if top_p < 1.0 {
        left = reach(&weights, part_of(top_p, left));
    }
    let left = keep_likely(&mut weights, min_p, left);
    drawn(&weights, draw, left).map(|at| tokens[at])
}

/// Takes their weight from tokens that are too unlikely by min-p; gives how much of `left` stays.
pub(super) fn keep_likely(weights: &mut [u64], min_p: f32, left: u64) -> u64 {
    if min_p <= 0.0 {
        return left;
    }
    let least = (f64::from(min_p) * LIKELIEST as f64).ceil() as u64;
    weights.iter_mut().filter(|weight| **weight < least).for_each(|weight| *weight = 0);
    left.min(weights.iter().sum())
}

/// Where the running sum of weights first exceeds the part of `left` that `draw` names.
pub(super) fn drawn(weights: &[u64], draw: u64, left: u64) -> Option<usize> {
    let target = high_of(draw & !0x7ff, left);
    let mut sum = 0;
    let passes = |weight: &u64| {
        sum += weight;
        sum > target
    };
    weights.iter().position(passes)
}

/// The `count` tokens of the largest logits, the largest first, the smaller id first among equals; -0 is less than 0.
pub fn largest(logits: &[f32], count: usize) -> Vec<u32> {
    let order = |a: &u32, b: &u32| by_logit(logits, *a, *b);
    if count == 1 {
        return (0..logits.len() as u32).min_by(order).into_iter().collect();
    }
    let mut tokens: Vec<u32> = (0..logits.len() as u32).collect();
    if count < tokens.len() {
        if count > 0 {
            tokens.select_nth_unstable_by(count - 1, order);
        }
        tokens.truncate(count);
    }
    tokens.sort_unstable_by(order);
    tokens
}

/// The larger logit first, the smaller id first among equals.
pub(super) fn by_logit(logits: &[f32], a: u32, b: u32) -> Ordering {
    logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b))
}

/// The first of the running sums of `weights` that is at least `wanted`, and not of nothing; their sum if none is.
pub(super) fn reach(weights: &[u64], wanted: u64) -> u64 {
    let mut sum = 0;
    for weight in weights {
        sum += weight;
        if sum >= wanted.max(1) {
            break;
        }
    }
    sum
}

/// The smallest integer that is at least `part` of `whole`, `part` from 0 to less than 1.
pub(super) fn part_of(part: f32, whole: u64) -> u64 {
    let fraction = (f64::from(part) * 2f64.powi(64)) as u64;
    high_of(fraction, whole) + u64::from(fraction.wrapping_mul(whole) != 0)
}

/// The upper half of a product.
fn high_of(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}
