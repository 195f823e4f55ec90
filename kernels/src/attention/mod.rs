//! Causal attention over the paged KV cache.

mod cpu;
pub mod cuda;
pub mod reference;

pub use cpu::{paged_attention, paged_attention_at};

use crate::{
    cost::Work,
    instantiate::CudaKernel,
    registry::{Entry, GPUS, Kernel, SIXTEEN_BITS, Shape, Tolerance},
};
use samp_abi::{Format, ScaleAxis, TargetName, plan::OpKind};

/// Shape of one layer's KV pool: `[pages][key, value][kv_heads][page_tokens][head_dim]` elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvGeometry {
    /// `F32`, `F16` or `Fp8E4m3(Tensor)`.
    pub format: Format,
    /// Scale of stored keys and of stored values; ones unless fp8.
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

/// Panics unless the sizes fit each other; returns the number of tokens.
fn check(args: &AttentionArgs<'_>) -> usize {
    let tokens = check_cache(&args.kv, args.sequences, args.pool);
    assert!(
        args.heads > 0 && args.heads.is_multiple_of(args.kv.kv_heads),
        "heads: not a multiple of kv_heads"
    );
    let width = args.heads * args.kv.head_dim;
    assert_eq!(args.q.len(), tokens * width, "q: expected [{tokens}, {width}]");
    assert_eq!(args.out.len(), tokens * width, "out: expected [{tokens}, {width}]");
    assert!(args.window.is_none_or(|w| w > 0), "window: a query sees at least itself");
    tokens
}

/// The first position that a query at `position` sees.
fn first_visible(position: usize, window: Option<usize>) -> usize {
    window.map_or(0, |w| (position + 1).saturating_sub(w))
}

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[CPU, CUDA];

const CPU: Kernel = Kernel {
    name: "paged_attention_cpu",
    op: OpKind::PagedAttention,
    targets: &[TargetName::Cpu],
    layout: None,
    accepts: |shape| shape.format.is_none_or(KvGeometry::supports),
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
};

/// Most tokens of a step that are taken for one of each sequence.
const DECODE_TOKENS: u64 = 256;

/// Whether a step of this shape is taken for one token of each sequence.
pub(crate) fn decodes(shape: &Shape) -> bool {
    shape.tokens <= DECODE_TOKENS
}

/// A sequence of one token is shared out among several blocks; of a longer one, blocks compute eight tokens or so each.
const CUDA: Kernel = Kernel {
    name: "paged_attention_cuda",
    targets: GPUS,
    accepts: |shape| shape.format.is_none_or(cuda::supports),
    work: |shape| gpu_work(shape, if decodes(shape) { 1.0 } else { 8.0 }),
    tolerance: SIXTEEN_BITS,
    entry: Entry::PagedAttention { run: reference::paged_attention, reference: reference::paged_attention },
    cuda: Some(CudaKernel::Attention),
    ..CPU
};

/// Keys and values are read once for all queries of a head group, taken to be four, of so many tokens.
fn gpu_work(shape: &Shape, tokens: f64) -> Work {
    let pairs = (shape.tokens * shape.rows * shape.context) as f64;
    let bytes = shape.format.unwrap_or(Format::F16).code_bits() as f64 / 8.0;
    Work { flops: 4.0 * pairs, compute: Format::F16, bytes: pairs * bytes / 2.0 / tokens, efficiency: 0.3 }
}
