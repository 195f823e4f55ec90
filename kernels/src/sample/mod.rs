//! Choosing the next token from logits.
//!
//! Temperature, top-k, top-p and min-p, in the order of transformers. A token's weight relative to the likeliest is an
//! integer, so that sums are exact whatever their order: the host and every device choose the same token by the same draw.

pub mod cuda;
pub mod reference;

use bytemuck::{Pod, Zeroable};
use samp_abi::{TargetName, plan::OpKind};

use crate::{
    cost::Work,
    instantiate::CudaKernel,
    registry::{Entry, GPUS, Kernel, Shape, Tolerance},
};

/// How the token of a row is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct SamplingParams {
    /// Divides the logits; 0 takes the largest logit.
    pub temperature: f32,
    /// Only so many of the most likely tokens count; 0 for all.
    pub top_k: u32,
    /// Only the most likely tokens that together reach this probability count; 1 for all.
    pub top_p: f32,
    /// Only tokens at least this part as likely as the most likely one count; 0 for all.
    pub min_p: f32,
}

/// What decides a row's token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRequest {
    /// How it is chosen.
    pub choice: SamplingParams,
    /// 64 random bits, of which the upper 53 count.
    pub draw: u64,
}

impl SampleRequest {
    /// The likeliest token.
    pub const GREEDY: SampleRequest = SampleRequest {
        choice: SamplingParams { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0 },
        draw: 0,
    };
}

/// A chosen token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledToken {
    /// Its id.
    pub token: u32,
    /// Its log-probability at temperature 1 among all tokens.
    pub logprob: f32,
}

/// `out[row]` = the token that `picks[row]` names among the logits of the row; `None` where a logit is NaN or positive
/// infinity, or none is finite.
pub struct SampleArgs<'a> {
    /// `[rows, vocab]`.
    pub logits: &'a [f32],
    /// One for each row.
    pub picks: &'a [SampleRequest],
    /// One for each row.
    pub out: &'a mut [Option<SampledToken>],
}

/// Rows of the registry. Tokens are the same everywhere; log-probabilities are rounded.
pub const KERNELS: &[Kernel] = &[
    Kernel {
        name: "sample_cpu",
        op: OpKind::Sample,
        targets: &[TargetName::Cpu],
        layout: None,
        accepts: |_| true,
        work: |shape| work(shape, 1),
        tolerance: LOGPROB,
        entry: Entry::Sample { run: reference::sample, reference: reference::sample },
        cuda: None,
    },
    Kernel {
        name: "sample_cuda",
        op: OpKind::Sample,
        targets: GPUS,
        layout: None,
        accepts: |shape| u32::try_from(shape.rows).is_ok_and(|vocab| cuda::source(vocab).is_some()),
        work: |shape| work(shape, BLOCKS_AT_PEAK),
        tolerance: LOGPROB,
        entry: Entry::Sample { run: reference::sample, reference: reference::sample },
        cuda: Some(CudaKernel::Sample),
    },
];

const LOGPROB: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// Blocks that together read memory as fast as it goes; each reads the logits of one row.
const BLOCKS_AT_PEAK: u64 = 64;

/// Each logit is read some four times, by one of `blocks_at_peak` blocks.
fn work(shape: &Shape, blocks_at_peak: u64) -> Work {
    let elements = (shape.tokens.next_multiple_of(blocks_at_peak) * shape.rows) as f64;
    Work::elementwise(10.0 * elements, 16.0 * elements)
}

/// The weight of the likeliest token. Those of fewer than 2^20 tokens fit 64 bits together.
pub const LIKELIEST: u64 = 1 << 44;

/// Weights of tokens relative to the likeliest: [`LIKELIEST`]` · e^((logit − most) / temperature)`, to the nearest integer
/// but for an error of some 2^-50 of it. Every operation is an IEEE one in f64, so that all hosts and devices give the same.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    most: f64,
    scale: f64,
}

impl Weights {
    /// For a largest logit that is finite, and a temperature above 0.
    pub fn new(most: f32, temperature: f32) -> Weights {
        Weights { most: most.into(), scale: STEPS_OF_E / f64::from(temperature) }
    }

    /// The weight of a logit, which is at most the largest.
    pub fn of(&self, logit: f32) -> u64 {
        let steps = (f64::from(logit) - self.most) * self.scale;
        if steps < LEAST_STEPS {
            return 0;
        }
        let shifted = steps + ROUND;
        let whole = shifted.to_bits() as u32 as i32;
        let rest = steps - (shifted - ROUND);
        let power = POWERS.iter().fold(0.0, |power, coefficient| power * rest + coefficient);
        let unit = f64::from_bits(((1023 + 44 + (whole >> 4)) as u64) << 52);
        let weight = power * SIXTEENTHS[(whole & 15) as usize] * unit;
        (weight + INTEGERS).to_bits() - INTEGERS.to_bits()
    }
}

/// Sixteenths of a factor of 2 in a factor of e: 16 / ln 2.
const STEPS_OF_E: f64 = 23.083120654223414;
/// Below, a weight is less than half.
const LEAST_STEPS: f64 = -720.0;
/// 1.5 · 2^52: added, it leaves the nearest integer in the last places.
const ROUND: f64 = 6755399441055744.0;
/// 2^52: added, it leaves a number of 0 and more, to the nearest integer, in the last places.
const INTEGERS: f64 = 4503599627370496.0;
/// `2^(x/16)` for |x| ≤ 1/2 by its Taylor series, the highest power first.
const POWERS: [f64; 7] = [
    9.181219573844438e-12,
    1.2715871950558131e-09,
    1.467610032291943e-07,
    1.3550807779497457e-05,
    0.0009383847928089872,
    0.04332169878499658,
    1.0,
];
/// `2^(i/16)`.
const SIXTEENTHS: [f64; 16] = [
    1.0,
    1.0442737824274138,
    1.0905077326652577,
    1.1387886347566916,
    1.189207115002721,
    1.241857812073484,
    1.2968395546510096,
    1.3542555469368927,
    std::f64::consts::SQRT_2,
    1.4768261459394993,
    1.5422108254079407,
    1.6104903319492543,
    1.681792830507429,
    1.7562521603732995,
    1.8340080864093424,
    1.9152065613971474,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_exponentials() {
        for temperature in [0.1, 0.7, 1.0, 3.5] {
            let weights = Weights::new(11.25, temperature);
            assert_eq!(weights.of(11.25), LIKELIEST);
            assert_eq!(weights.of(f32::NEG_INFINITY), 0);
            assert_eq!(weights.of(f32::MIN), 0);
            for i in 0..20_000 {
                let logit = 11.25 - i as f32 * 0.003;
                let exact = ((f64::from(logit) - 11.25) / f64::from(temperature)).exp() * LIKELIEST as f64;
                let found = weights.of(logit) as f64;
                assert!((found - exact).abs() <= 0.5 + exact * 1e-14, "{logit}: {found}, {exact}");
            }
        }
    }
}
