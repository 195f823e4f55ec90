//! Running parts of a program on recorded activations, with weights that the caller may exchange in between: what
//! calibration measures with.

use std::ops::Range;

use samp_abi::plan::{BufferId, Program};

use super::{
    bind::KernelImpl,
    error::DeviceError,
    executable::{Executable, Weights},
    host::HostDevice,
    kind::DeviceKind,
    step::{Batch, Observer},
};

/// A program on the host, run step range by step range.
///
/// Each range must begin where all buffers that it reads hold what the batch needs: after the steps before it, or after
/// the [`live`](Replay::live) buffers were set. A layer's cache is written before it is read within the layer's own
/// steps, so a range that begins between layers needs no cache, given sequences that start at position 0.
pub struct Replay<W> {
    host: HostDevice<W>,
}

impl<W: Weights> Replay<W> {
    /// Readies `executable` for the host's `device`, the CPU's kernels or their references, whatever the target, with a cache of
    /// `kv_pages` pages.
    pub fn new(
        device: DeviceKind,
        executable: Executable,
        weights: W,
        kv_pages: u32,
    ) -> Result<Replay<W>, DeviceError> {
        let kernels = match device {
            DeviceKind::Reference => KernelImpl::Reference,
            _ => KernelImpl::Optimized,
        };
        Ok(Replay { host: HostDevice::load(executable, weights, kv_pages, kernels)? })
    }

    /// The program whose steps are run.
    pub fn program(&self) -> &Program {
        self.host.program()
    }

    /// The weights that the next run computes with.
    pub fn weights(&self) -> &W {
        &self.host.weights
    }

    /// The weights, to be exchanged.
    pub fn weights_mut(&mut self) -> &mut W {
        &mut self.host.weights
    }

    /// Runs the steps `steps` over `batch`.
    pub fn run(&mut self, steps: Range<usize>, batch: &Batch<'_>, observer: Option<&mut dyn Observer>) {
        self.host.run(steps, batch, observer);
    }

    /// The rows of a buffer that belong to `batch`, `[rows, width]`.
    pub fn buffer(&mut self, id: BufferId, batch: &Batch<'_>) -> &mut [f32] {
        self.host.buffer(id, batch.row_counts())
    }

    /// Buffers that steps from `step` on read before they write them.
    pub fn live(&self, step: usize) -> Vec<BufferId> {
        let (mut live, mut written) = (vec![], std::collections::BTreeSet::new());
        for step in &self.program().steps[step..] {
            let reads = step.op.reads();
            live.extend(reads.into_iter().filter(|id| !written.contains(id)));
            written.extend(step.op.writes());
        }
        live.sort_unstable();
        live.dedup();
        live
    }
}
