//! Causal attention over the paged KV cache.

mod cpu;
pub mod cuda;
pub mod reference;

pub use crate::{
    args::AttentionArgs,
    kv_cache::{KvGeometry, SequenceSlice},
};
pub use cpu::{paged_attention, paged_attention_at};

use crate::{
    cost::Work,
    kernel::{CudaKernel, Entry, GPUS, Kernel, OpShape, SIXTEEN_BITS, Tolerance},
};
use samp_abi::{Format, TargetName, plan::OpKind};

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[CPU, CUDA];

const CPU: Kernel = Kernel {
    name: "paged_attention_cpu",
    op: OpKind::PagedAttention,
    targets: &[TargetName::Cpu],
    layout: None,
    accepts: |shape, _| shape.format.is_none_or(KvGeometry::supports),
    work: |shape| {
        // Every query meets every cached key and value; these are read once for all queries of a head group, taken
        // to be four.
        let pairs = (shape.tokens * shape.rows * shape.context) as f64;
        let bytes = shape.format.unwrap_or(Format::F16).code_bits() as f64 / 8.0;
        Work { efficiency: 0.2, ..Work::elementwise(4.0 * pairs, pairs * bytes / 2.0) }
    },
    // Sums of f32 over the context, weighted with an exponential good to 2 units in the last place.
    tolerance: Tolerance { absolute: 1e-5, relative: 1e-5 },
    entry: Entry::PagedAttention { run: paged_attention, reference: reference::paged_attention },
    cuda: None,
    rounds_inputs: false,
};

/// Most tokens of a step that are taken for one of each sequence.
const DECODE_TOKENS: u64 = 256;

/// Whether a step of this shape is taken for one token of each sequence.
pub(crate) fn decodes(shape: &OpShape) -> bool {
    shape.tokens <= DECODE_TOKENS
}

/// A sequence of one token is shared out among several blocks; of a longer one, blocks compute eight tokens or so each.
const CUDA: Kernel = Kernel {
    name: "paged_attention_cuda",
    targets: GPUS,
    accepts: |shape, _| shape.format.is_none_or(cuda::supports),
    work: |shape| gpu_work(shape, if decodes(shape) { 1.0 } else { 8.0 }),
    tolerance: SIXTEEN_BITS,
    entry: Entry::PagedAttention { run: reference::paged_attention, reference: reference::paged_attention },
    cuda: Some(CudaKernel::Attention),
    ..CPU
};

/// Keys and values are read once for all queries of a head group, taken to be four, of so many tokens.
fn gpu_work(shape: &OpShape, tokens: f64) -> Work {
    let pairs = (shape.tokens * shape.rows * shape.context) as f64;
    let bytes = shape.format.unwrap_or(Format::F16).code_bits() as f64 / 8.0;
    Work { flops: 4.0 * pairs, compute: Format::F16, bytes: pairs * bytes / 2.0 / tokens, efficiency: 0.3 }
}
