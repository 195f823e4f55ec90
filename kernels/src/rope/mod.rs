//! Rotary position embedding fused with the append to the KV cache.

use crate::{
    attention::{KvGeometry, SequenceSlice},
    registry::Kernel,
};

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
    /// Bytes of this layer's pool, `kv.layer_bytes(pages)`.
    pub pool: &'a mut [u8],
    /// Turned queries `[tokens, heads·head_dim]`.
    pub out: &'a mut [f32],
}

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[];
