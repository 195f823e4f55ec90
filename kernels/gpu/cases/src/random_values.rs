//! Values that look random and are the same in every run.

use samp_kernels::random::SplitMix64;

/// A seeded stream of values for the data of cases.
pub struct RandomValues(SplitMix64);

impl RandomValues {
    /// The stream of a seed.
    pub fn new(seed: u64) -> RandomValues {
        RandomValues(SplitMix64::new(seed))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.bits()
    }

    /// Uniform over −1..1.
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// About normal: a sum of four uniform values with this standard deviation.
    pub fn normal(&mut self, deviation: f32) -> f32 {
        let bits = self.bits();
        let sum: f32 = (0..4).map(|i| (bits >> (16 * i) & 0xffff) as f32 / 65536.0 - 0.5).sum();
        sum * deviation * 3f32.sqrt()
    }

    /// An index below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }

    /// So many uniform values.
    pub fn uniforms(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.uniform()).collect()
    }
}
