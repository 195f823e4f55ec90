//! Rotary position embedding fused with the append to the KV cache.

mod cpu;
pub mod reference;

pub use cpu::rope_append;

use crate::{
    attention::{KvGeometry, SequenceSlice, check_cache, cuda},
    cost::Work,
    instantiate::CudaKernel,
    registry::{Entry, GPUS, Kernel, SIXTEEN_BITS, Tolerance},
};
use samp_abi::{TargetName, plan::OpKind};

/// Splits `qkv` into queries, keys and values, turns queries and keys, appends keys and values to the cache.
pub struct RopeAppendArgs<'a> {
    /// `[tokens, (heads + 2·kv_heads)·head_dim]`: queries, keys, values.
    pub qkv: &'a [f32],
    /// Query heads.
    pub heads: usize,
    /// Radians per position for each of `head_dim / 2` channel pairs `(i, i + head_dim / 2)`.
    pub inv_frequencies: &'a [f64],
    /// The step's sequences; their tokens lie one after another.
    pub sequences: &'a [SequenceSlice<'a>],
    /// Geometry of the cache.
    pub kv: KvGeometry,
    /// Bytes of this layer's pool.
    pub pool: &'a mut [u8],
    /// Turned queries `[tokens, heads·head_dim]`.
    pub out: &'a mut [f32],
}

/// Panics unless the sizes fit each other; returns the number of tokens.
fn check(args: &RopeAppendArgs<'_>) -> usize {
    let tokens = check_cache(&args.kv, args.sequences, args.pool);
    let (heads, kv_heads, head_dim) = (args.heads, args.kv.kv_heads, args.kv.head_dim);
    assert!(heads > 0, "heads: none");
    assert_eq!(2 * args.inv_frequencies.len(), head_dim, "inv_frequencies: expected one for two channels");
    let width = (heads + 2 * kv_heads) * head_dim;
    assert_eq!(args.qkv.len(), tokens * width, "qkv: expected [{tokens}, {width}]");
    assert_eq!(args.out.len(), tokens * heads * head_dim, "out: expected [{tokens}, {}]", heads * head_dim);
    tokens
}

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[CPU, CUDA];

const CPU: Kernel = Kernel {
    name: "rope_append_cpu",
    op: OpKind::RopeAppend,
    targets: &[TargetName::Cpu],
    layout: None,
    accepts: |shape| shape.format.is_none_or(KvGeometry::supports),
    work: |shape| {
        let elements = (shape.tokens * shape.rows) as f64;
        Work::elementwise(6.0 * elements, 8.0 * elements)
    },
    // Cosine, sine, both products and their sum are rounded to f32, for inputs of order one.
    tolerance: Tolerance { absolute: 5e-7, relative: 1e-6 },
    entry: Entry::RopeAppend { run: rope_append, reference: reference::rope_append },
    cuda: None,
};

const CUDA: Kernel = Kernel {
    name: "rope_append_cuda",
    targets: GPUS,
    accepts: |shape| shape.format.is_none_or(cuda::supports),
    work: |shape| {
        let elements = (shape.tokens * shape.rows) as f64;
        Work::elementwise(6.0 * elements, 4.0 * elements)
    },
    tolerance: SIXTEEN_BITS,
    entry: Entry::RopeAppend { run: reference::rope_append, reference: reference::rope_append },
    cuda: Some(CudaKernel::RopeAppend),
    ..CPU
};
