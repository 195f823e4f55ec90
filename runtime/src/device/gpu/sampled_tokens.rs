//! The tokens that the sampler chose, until the host fetches them.

use samp_kernels::sample::SampledToken;

use super::{Arg, Driver, DriverError};

/// Tokens (i32, -1 for none), and behind them their log-probabilities (f32), in one piece that is fetched at once.
pub(super) struct SampledTokens<M> {
    memory: M,
}

impl<M> SampledTokens<M> {
    /// Memory for so many outputs.
    pub fn new(driver: &impl Driver<Memory = M>, outputs: u64) -> Result<SampledTokens<M>, DriverError> {
        Ok(SampledTokens { memory: driver.allocate("chosen tokens", 8 * outputs)? })
    }

    /// Tokens and log-probabilities of so many outputs, as the kernel takes them.
    pub fn args(&self, outputs: u32) -> [Arg<'_, M>; 2] {
        let bytes = 4 * u64::from(outputs);
        [0, bytes].map(|offset| Arg::Memory { memory: &self.memory, offset, bytes })
    }

    /// Waits for the sampler, and reads what it chose for the first of so many outputs.
    pub fn fetch(
        &self,
        driver: &impl Driver<Memory = M>,
        outputs: u32,
        sampled: &mut [Option<SampledToken>],
    ) -> Result<(), DriverError> {
        let mut words = vec![0i32; 2 * outputs as usize];
        driver.download(&self.memory, 0, bytemuck::cast_slice_mut(&mut words))?;
        let (tokens, logprobs) = words.split_at(outputs as usize);
        for ((sampled, token), logprob) in sampled.iter_mut().zip(tokens).zip(logprobs) {
            let token = u32::try_from(*token).ok();
            *sampled = token.map(|token| SampledToken { token, logprob: f32::from_bits(*logprob as u32) });
        }
        Ok(())
    }
}
