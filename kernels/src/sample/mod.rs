//! Choosing the next token from logits.
//!
//! Temperature, top-k, top-p and min-p, in the order of transformers. A token's weight relative to the likeliest is an
//! integer, so that sums are exact whatever their order: the host and every device choose the same token by the same draw.

mod cpu;
pub mod cuda;
pub mod reference;
mod weights;

pub use crate::args::{SampleArgs, SampleRequest, SampledToken, SamplingParams};
pub use weights::{LIKELIEST, Weights};

use samp_abi::{TargetName, plan::OpKind};

use crate::{
    cost::Work,
    kernel::{CudaKernel, Entry, GPUS, Kernel, OpShape, Tolerance},
};

/// Rows of the registry. Tokens are the same everywhere; log-probabilities are rounded.
pub const KERNELS: &[Kernel] = &[
    Kernel {
        name: "sample_cpu",
        op: OpKind::Sample,
        targets: &[TargetName::Cpu],
        layout: None,
        accepts: |_, _| true,
        work: |shape| work(shape, 1),
        tolerance: LOGPROB,
        entry: Entry::Sample { run: cpu::sample, reference: reference::sample },
        cuda: None,
        rounds_inputs: false,
    },
    Kernel {
        name: "sample_cuda",
        op: OpKind::Sample,
        targets: GPUS,
        layout: None,
        accepts: |shape, _| u32::try_from(shape.rows).is_ok_and(|vocab| cuda::source(vocab).is_some()),
        work: |shape| work(shape, BLOCKS_AT_PEAK),
        tolerance: LOGPROB,
        entry: Entry::Sample { run: reference::sample, reference: reference::sample },
        cuda: Some(CudaKernel::Sample),
        rounds_inputs: false,
    },
];

const LOGPROB: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// Blocks that together read memory as fast as it goes; each reads the logits of one row.
const BLOCKS_AT_PEAK: u64 = 64;

/// Each logit is read some four times, by one of `blocks_at_peak` blocks.
fn work(shape: &OpShape, blocks_at_peak: u64) -> Work {
    let elements = (shape.tokens.next_multiple_of(blocks_at_peak) * shape.rows) as f64;
    Work::elementwise(10.0 * elements, 16.0 * elements)
}
