//! A device in host memory with threads of its own.

use samp_kernels::{
    parallel::Pool,
    sample::{SampleRequest, SampledToken},
};

use super::{
    error::DeviceError,
    step::{Batch, Device, Observer},
};
use crate::threads::compute_pool;

/// A device whose steps are computed by a pool that computes nothing else, so that devices do not wait in each other's
/// queues.
pub(super) struct Threaded<D> {
    device: D,
    pool: Pool,
}

impl<D: Device> Threaded<D> {
    /// Gives `device` as many threads as the rayon pool has that calls.
    pub fn new(device: D) -> Result<Threaded<D>, DeviceError> {
        Ok(Threaded { device, pool: compute_pool()? })
    }
}

impl<D: Device> Device for Threaded<D> {
    fn step(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut [f32],
        observer: Option<&mut dyn Observer>,
    ) -> Result<(), DeviceError> {
        self.pool.install(|| self.device.step(batch, logits, observer))
    }

    fn step_and_sample(
        &mut self,
        batch: &Batch<'_>,
        requests: &[SampleRequest],
        sampled: &mut [Option<SampledToken>],
    ) -> Result<(), DeviceError> {
        self.pool.install(|| self.device.step_and_sample(batch, requests, sampled))
    }

    fn output_logits(
        &mut self,
        batch: &Batch<'_>,
        output: usize,
        logits: &mut [f32],
    ) -> Result<(), DeviceError> {
        self.device.output_logits(batch, output, logits)
    }
}
