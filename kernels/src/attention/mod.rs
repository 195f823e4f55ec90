//! Causal attention over the paged KV cache.

use crate::registry::Kernel;
use samp_abi::Format;

/// Shape of one layer's KV pool: `[pages][key, value][kv_heads][page_tokens][head_dim]` elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvGeometry {
    /// `F16` or `Fp8E4m3(Tensor)`.
    pub format: Format,
    /// Scale of stored keys and of stored values; ones for f16.
    pub scales: [f32; 2],
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Positions in a page.
    pub page_tokens: usize,
}

impl KvGeometry {
    /// Bytes of one stored element.
    pub fn element_bytes(&self) -> usize {
        (self.format.code_bits() / 8) as usize
    }

    /// Bytes of one page of one layer.
    pub fn page_bytes(&self) -> usize {
        2 * self.kv_heads * self.page_tokens * self.head_dim * self.element_bytes()
    }

    /// Byte offset in the layer's pool of the `head_dim` elements of a key (`which` = 0) or value (1).
    pub fn offset(&self, page: u32, which: usize, head: usize, slot: usize) -> usize {
        let row = ((page as usize * 2 + which) * self.kv_heads + head) * self.page_tokens + slot;
        row * self.head_dim * self.element_bytes()
    }
}

/// One sequence's share of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceSlice<'a> {
    /// Position of its first token in this step; so many positions are cached already.
    pub start: usize,
    /// Its tokens in this step.
    pub tokens: usize,
    /// Its pages, in order of position; enough for `start + tokens` positions.
    pub pages: &'a [u32],
}

/// `out = softmax(q·k / sqrt(head_dim)) · v` over the sequence's cached positions up to the query's own.
pub struct AttentionArgs<'a> {
    /// Turned queries `[tokens, heads·head_dim]`.
    pub q: &'a [f32],
    /// Query heads.
    pub heads: usize,
    /// Only the last so many positions count, the query's own among them.
    pub window: Option<usize>,
    /// The step's sequences; their tokens lie one after another.
    pub sequences: &'a [SequenceSlice<'a>],
    /// Geometry of the cache.
    pub kv: KvGeometry,
    /// Bytes of this layer's pool.
    pub pool: &'a [u8],
    /// Result `[tokens, heads·head_dim]`.
    pub out: &'a mut [f32],
}

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[];
