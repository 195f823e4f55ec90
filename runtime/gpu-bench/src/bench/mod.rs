//! Measurements.

pub mod attention;
pub mod kernels;
pub mod kv_format;
pub mod linear;
pub mod report;
pub mod row_kernels;
pub mod step;
pub mod synthetic_plan;
pub mod synthetic_source;

use samp_abi::ElementType;
use samp_runtime::device::gpu::{Arg, Driver};

use crate::{error::GpuError, gpu::Gpu, memory, pattern::Pattern};

/// What activations are stored as, unless weights of another format of 16 bits want their own.
pub const ACTIVATIONS: ElementType = ElementType::F16;
/// Bytes that launches go round in, several times what the largest L2 cache holds.
const COLD_BYTES: u64 = 320 << 20;
/// What one recording should take, in seconds.
const RECORDING_SECONDS: f64 = 1e-3;
/// The most launches in one recording.
const RECORDING_LAUNCHES: usize = 256;

/// The most operands of one kind.
const MOST_COPIES: usize = 64;

impl<D: Driver> Gpu<'_, D> {
    /// Different operands that launches over `bytes` each take in turn, so that none finds its own in the cache.
    fn cold_copies(&self, bytes: u64) -> usize {
        // An emulator has no cache.
        let most = if self.is_emulated() { 2 } else { MOST_COPIES };
        (COLD_BYTES.div_ceil(bytes.max(1)) as usize).clamp(1, most)
    }

    /// Launches of one recording, of so many bytes and operations each on this target.
    fn launches(&self, bytes: u64, flops: f64, copies: usize) -> usize {
        if self.is_emulated() {
            return copies;
        }
        let seconds = (bytes as f64 / self.target.bandwidth).max(flops / self.target.peaks.f16);
        ((RECORDING_SECONDS / seconds).ceil() as usize).clamp(copies, RECORDING_LAUNCHES.max(copies))
    }

    /// What memory gives when it is copied: bytes read and bytes written per second, in GB/s.
    pub fn copy_gbs(&self, bytes: u64) -> Result<f64, GpuError> {
        let fill = self.fill_kernel()?;
        let from = fill.buffer("copy's operand", bytes, Pattern::CODES)?;
        let to = self.zeros("copy's result", bytes)?;
        let ready = self.ready(&memory::copy_source(), self.stream_grid(bytes / 16))?;
        let args = [from.arg(), to.arg(), Arg::I32((bytes / 16) as i32)];
        let timing = self.measure(2, &mut |_| self.launch(&ready, &args))?;
        Ok(2.0 * bytes as f64 / timing.microseconds / 1e3)
    }
}
