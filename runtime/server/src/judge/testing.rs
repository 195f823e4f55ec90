//! Random numbers for simulations.

use samp_kernels::random::mix64;

/// A seeded sequence.
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { state: mix64(seed.wrapping_add(0x9e37)) }
    }

    /// From 0 to 1, neither included.
    pub fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((mix64(self.state) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Log-normal, of this mean and so many means of deviation.
    pub fn log_normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let variance = (1.0 + deviation * deviation).ln();
        mean * (variance.sqrt() * self.normal() - variance / 2.0).exp()
    }
}
