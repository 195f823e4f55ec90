//! Weights of tokens as integers, whose sums are exact in any order.

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
    #[inline(always)]
    pub fn weight(&self, logit: f32) -> u64 {
        let exact = (f64::from(logit) - self.most) * self.scale;
        // Without a branch a loop over many becomes one over vectors.
        let steps = exact.max(LEAST_STEPS);
        let shifted = steps + ROUND;
        let whole = shifted.to_bits() as u32 as i32;
        let rest = steps - (shifted - ROUND);
        let power = POWERS.iter().fold(0.0, |power, coefficient| power * rest + coefficient);
        let unit = f64::from_bits(((1023 + 44 + (whole >> 4)) as u64) << 52);
        let weight = power * SIXTEENTHS[(whole & 15) as usize] * unit;
        let nearest = (weight + INTEGERS).to_bits() - INTEGERS.to_bits();
        if exact < LEAST_STEPS { 0 } else { nearest }
    }

    /// The weights of many, and their sum.
    pub fn fill(&self, logits: &[f32], weights: &mut [u64]) -> u64 {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has what the function is compiled for.
            return unsafe { self.fill_avx2(logits, weights) };
        }
        self.fill_slice(logits, weights)
    }

    /// [`Weights::fill_slice`] compiled for vectors of four.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn fill_avx2(&self, logits: &[f32], weights: &mut [u64]) -> u64 {
        self.fill_slice(logits, weights)
    }

    #[inline(always)]
    fn fill_slice(&self, logits: &[f32], weights: &mut [u64]) -> u64 {
        let mut sum = 0;
        for (weight, logit) in weights.iter_mut().zip(logits) {
            *weight = self.weight(*logit);
            sum += *weight;
        }
        sum
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
/// Powers `2^(i/16)`, for the last four bits of a count of sixteenths.
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
    fn many_weights_are_those_of_each() {
        let weights = Weights::new(11.25, 0.7);
        let logits: Vec<f32> =
            (0..4099).map(|i| 11.25 - i as f32 * 0.013).chain([f32::NEG_INFINITY, f32::MIN]).collect();
        let mut found = vec![7; logits.len()];
        let sum = weights.fill(&logits, &mut found);
        let expected: Vec<u64> = logits.iter().map(|logit| weights.weight(*logit)).collect();
        assert_eq!((sum, found), (expected.iter().sum(), expected));
    }

    #[test]
    fn weights_are_exponentials() {
        for temperature in [0.1, 0.7, 1.0, 3.5] {
            let weights = Weights::new(11.25, temperature);
            assert_eq!(weights.weight(11.25), LIKELIEST);
            assert_eq!(weights.weight(f32::NEG_INFINITY), 0);
            assert_eq!(weights.weight(f32::MIN), 0);
            for i in 0..20_000 {
                let logit = 11.25 - i as f32 * 0.003;
                let exact = ((f64::from(logit) - 11.25) / f64::from(temperature)).exp() * LIKELIEST as f64;
                let found = weights.weight(logit) as f64;
                assert!((found - exact).abs() <= 0.5 + exact * 1e-14, "{logit}: {found}, {exact}");
            }
        }
    }
}
