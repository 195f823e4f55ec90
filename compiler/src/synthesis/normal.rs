//! Normal values in 16 bits, four from each random number.
//!
//! The distribution is cut into as many equally likely parts as 16 bits tell apart, and a part stands for the value in its
//! middle: fifteen bits look up a magnitude, one is the sign. Nothing lies beyond 4.3 deviations.

use samp_kernels::random::{GOLDEN_GAMMA, mix64};

use super::stored_type::StoredType;

/// Bits that choose a magnitude.
const MAGNITUDE_BITS: u32 = 15;
/// The sign of a 16-bit float.
const SIGN: u16 = 1 << 15;
/// Values that a random number gives.
const VALUES: usize = 4;

/// Magnitudes of a normal distribution around 0, equally likely and ascending.
pub(super) struct NormalQuantiles(Vec<u16>);

impl NormalQuantiles {
    /// Those of a standard deviation, in the bits of `dtype`.
    pub(super) fn new(deviation: f64, dtype: StoredType) -> NormalQuantiles {
        let count = 1 << MAGNITUDE_BITS;
        // The magnitude z that the part p of all values lie below satisfies dz/dp = 1 / (2·φ(z)), with the density φ.
        let slope = |z: f64| (std::f64::consts::PI / 2.0).sqrt() * (z * z / 2.0).exp();
        let part = 1.0 / f64::from(count);
        let mut z = runge_kutta(slope, 0.0, part / 2.0);
        let mut magnitudes = Vec::with_capacity(count as usize);
        for _ in 0..count {
            magnitudes.push(dtype.bits(deviation * z));
            z = runge_kutta(slope, z, part);
        }
        NormalQuantiles(magnitudes)
    }

    /// The values of a stream of random numbers from `first` on, a multiple of four.
    pub(super) fn fill(&self, stream: u64, first: u64, values: &mut [u16]) {
        let mut number = first / VALUES as u64;
        for quad in values.chunks_mut(VALUES) {
            number += 1;
            // SplitMix64 reaches any of its numbers in one step.
            let bits = mix64(stream.wrapping_add(number.wrapping_mul(GOLDEN_GAMMA)));
            for (index, value) in quad.iter_mut().enumerate() {
                let drawn = (bits >> (16 * index)) as u16;
                *value = self.0[usize::from(drawn & !SIGN)] | (drawn & SIGN);
            }
        }
    }
}

/// The solution of dz/dp = slope(z) a step after `z`, by the method of fourth order.
fn runge_kutta(slope: impl Fn(f64) -> f64, z: f64, step: f64) -> f64 {
    let first = slope(z);
    let second = slope(z + step / 2.0 * first);
    let third = slope(z + step / 2.0 * second);
    let fourth = slope(z + step * third);
    z + step / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};
    use samp_kernels::random::SplitMix64;

    #[test]
    fn quantiles_are_those_of_the_normal_distribution() {
        let NormalQuantiles(magnitudes) = NormalQuantiles::new(1.0, StoredType::F16);
        assert!(magnitudes.is_sorted(), "magnitudes ascend, as their bits do");
        // Two-sided quantiles from tables: the part of all values within 1, 1.96 and 3.2905 deviations.
        for (part, expected) in [(0.682_689, 1.0), (0.95, 1.959_964), (0.999, 3.290_527)] {
            let index = (part * magnitudes.len() as f64) as usize;
            let found = f16::from_bits(magnitudes[index]).to_f64();
            assert!((found - expected).abs() < 2e-3 * expected, "{part}: {found}, expected {expected}");
        }
        let most = f16::from_bits(*magnitudes.last().unwrap()).to_f64();
        assert!((4.1..4.4).contains(&most), "{most}");
    }

    #[test]
    fn values_have_the_moments_and_the_order_of_their_stream() {
        let quantiles = NormalQuantiles::new(0.02, StoredType::Bf16);
        let mut drawn = vec![0; 1 << 18];
        quantiles.fill(5, 0, &mut drawn);
        let values: Vec<f64> = drawn.iter().map(|bits| bf16::from_bits(*bits).to_f64() / 0.02).collect();
        let moment = |power| values.iter().map(|x: &f64| x.powi(power)).sum::<f64>() / values.len() as f64;
        // Standard errors of the four are .002, .003, .008 and .02.
        for (power, expected, within) in [(1, 0.0, 0.01), (2, 1.0, 0.015), (3, 0.0, 0.04), (4, 3.0, 0.1)] {
            let found = moment(power);
            assert!((found - expected).abs() < within, "moment {power}: {found}");
        }
        let neighbours: f64 = values.windows(2).map(|pair| pair[0] * pair[1]).sum();
        assert!((neighbours / values.len() as f64).abs() < 0.01, "values do not depend on their neighbours");
        let first = SplitMix64::new(5).bits() as u16;
        assert_eq!(drawn[0], quantiles.0[usize::from(first & !SIGN)] | (first & SIGN));
    }

    #[test]
    fn a_part_of_a_stream_is_what_it_is_in_the_whole() {
        let quantiles = NormalQuantiles::new(1.0, StoredType::F16);
        let (mut whole, mut part) = (vec![0; 1000], vec![0; 101]);
        quantiles.fill(9, 0, &mut whole);
        quantiles.fill(9, 400, &mut part);
        assert_eq!(whole[400..501], part);
    }
}
