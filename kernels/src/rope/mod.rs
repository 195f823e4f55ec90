//! Rotary position embedding fused with the append to the KV cache.

mod cpu;
pub mod reference;

pub use crate::args::RopeAppendArgs;
pub use cpu::rope_append;

use crate::{
    attention::cuda,
    cost::Work,
    kernel::{CudaKernel, Entry, GPUS, Kernel, SIXTEEN_BITS, Tolerance},
    kv_cache::KvGeometry,
};
use samp_abi::{TargetName, plan::OpKind};

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[CPU, CUDA];

const CPU: Kernel = Kernel {
    name: "rope_append_cpu",
    op: OpKind::RopeAppend,
    targets: &[TargetName::Cpu],
    layout: None,
    accepts: |shape, _| shape.format.is_none_or(KvGeometry::supports),
    work: |shape| {
        let elements = (shape.tokens * shape.rows) as f64;
        Work::elementwise(6.0 * elements, 8.0 * elements)
    },
    // Cosine, sine, both products and their sum are rounded to f32, for inputs of order one.
    tolerance: Tolerance { absolute: 5e-7, relative: 1e-6 },
    entry: Entry::RopeAppend { run: rope_append, reference: reference::rope_append },
    cuda: None,
    rounds_inputs: false,
};

const CUDA: Kernel = Kernel {
    name: "rope_append_cuda",
    targets: GPUS,
    accepts: |shape, _| shape.format.is_none_or(cuda::supports),
    work: |shape| {
        let elements = (shape.tokens * shape.rows) as f64;
        Work::elementwise(6.0 * elements, 4.0 * elements)
    },
    tolerance: SIXTEEN_BITS,
    entry: Entry::RopeAppend { run: reference::rope_append, reference: reference::rope_append },
    cuda: Some(CudaKernel::RopeAppend),
    ..CPU
};
