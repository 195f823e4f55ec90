//! How keys and values of the cache are laid out in pages, and a sequence's share of a step.

use samp_abi::{
    Format, ScaleAxis,
    plan::{KvCache, Model},
};

/// Shape of one layer's KV pool: `[pages][key, value][kv_heads][page_tokens][head_dim]` elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvGeometry {
    /// `F32`, `F16` or `Fp8E4m3(Tensor)`.
    pub format: Format,
    /// Scale of stored keys and of stored values; ones unless fp8.
    pub scales: [f32; 2],
    /// How many key/value heads there are.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Positions in a page.
    pub page_tokens: usize,
}

impl KvGeometry {
    /// The cache of a plan's layer.
    pub fn for_layer(model: &Model, kv: &KvCache, layer: usize) -> KvGeometry {
        KvGeometry {
            format: kv.format,
            scales: kv.scales.get(layer).copied().unwrap_or([1.0; 2]),
            kv_heads: model.kv_heads as usize,
            head_dim: model.head_dim as usize,
            page_tokens: kv.page_tokens as usize,
        }
    }

    /// Bytes of one stored element.
    pub fn element_bytes(&self) -> usize {
        (self.format.code_bits() / 8) as usize
    }

    /// Bytes of one page of one layer.
    pub fn page_bytes(&self) -> usize {
        2 * self.kv_heads * self.page_tokens * self.head_dim * self.element_bytes()
    }

    /// Whether keys and values can be kept in `format`.
    pub fn supports(format: Format) -> bool {
        matches!(format, Format::F32 | Format::F16 | Format::Fp8E4m3(ScaleAxis::Tensor))
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

/// Panics unless every sequence has its pages inside the pool; returns the number of tokens.
pub(crate) fn check_cache(kv: &KvGeometry, sequences: &[SequenceSlice<'_>], pool: &[u8]) -> usize {
    assert!(KvGeometry::supports(kv.format), "kv: cannot be kept in {}", kv.format);
    assert!(kv.kv_heads > 0 && kv.head_dim > 0 && kv.page_tokens > 0, "kv: a size is zero");
    assert!((pool.as_ptr() as usize).is_multiple_of(kv.element_bytes()), "pool: misaligned");
    let pages = pool.len() / kv.page_bytes();
    for (index, sequence) in sequences.iter().enumerate() {
        let positions = sequence.start + sequence.tokens;
        let given = sequence.pages.len() * kv.page_tokens;
        assert!(given >= positions, "sequence {index}: pages for {given} of {positions} positions");
        assert!(
            sequence.pages.iter().all(|&p| (p as usize) < pages),
            "sequence {index}: a page is not below {pages}"
        );
    }
    sequences.iter().map(|s| s.tokens).sum()
}
