//! Attention kernels of GPUs, RoPE with the append to the cache among them: how sources are specialised, and what
//! launching them takes. Arguments stand in the sources.

use samp_abi::Format;

use crate::{
    cuda::{Activation, Grid, Source},
    kv_cache::KvGeometry,
    target::Target,
};

/// Warps of a block of the two attention kernels.
const WARPS: u32 = 4;
/// Rows that a warp computes: query heads, for one token or several.
const WARP_ROWS: u32 = 16;
/// Positions that a warp takes at a time.
const GROUP_POSITIONS: u32 = 16;
/// Heads that a block of rope_append turns.
const ROPE_HEADS: u32 = 8;

/// Whether the kernels can keep keys and values in `format`.
pub fn supports(format: Format) -> bool {
    matches!(format, Format::F16 | Format::Fp8E4m3(_)) && KvGeometry::supports(format)
}

/// The attention of one layer: everything that a model and the plan fix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    heads: u32,
    /// Channels of a head that are turned.
    rotary: u32,
    kv: KvGeometry,
    window: Option<usize>,
    activation: Activation,
}

impl Attention {
    /// Of heads that are turned whole. `None` where there are no kernels: they need a cache of f16 or fp8, heads of a multiple of 32 channels, pages of a
    /// multiple of 16 positions, and at most 64 query heads for a KV head. Activations are f16 unless
    /// changed by [`Attention::with`].
    pub fn new(heads: usize, kv: KvGeometry, window: Option<usize>) -> Option<Attention> {
        let stored = supports(kv.format);
        let sizes = kv.head_dim.is_multiple_of(32) && kv.page_tokens.is_multiple_of(16);
        let positive = kv.kv_heads > 0 && kv.head_dim > 0 && kv.page_tokens > 0 && heads > 0;
        let grouped = positive && heads.is_multiple_of(kv.kv_heads) && heads / kv.kv_heads <= 64;
        let heads = u32::try_from(heads).ok()?;
        let (activation, rotary) = (Activation::F16, kv.head_dim as u32);
        (stored && sizes && grouped).then_some(Attention { heads, rotary, kv, window, activation })
    }

    /// The same with other activations.
    pub fn with(self, activation: Activation) -> Attention {
        Attention { activation, ..self }
    }

    /// The same where only so many channels of a head are turned. `None` unless they are a multiple of 8 within it.
    pub fn turning(self, rotary: usize) -> Option<Attention> {
        let fits = rotary.is_multiple_of(8) && rotary <= self.kv.head_dim;
        fits.then_some(Attention { rotary: rotary as u32, ..self })
    }

    /// Turns queries and keys, appends keys and values.
    pub fn rope_append(&self) -> Source {
        let source = self.source("rope_append").define("BLOCK_HEADS", ROPE_HEADS);
        let whole = self.rotary as usize == self.kv.head_dim;
        if whole { source } else { source.define("ROTARY_DIM", self.rotary) }
    }

    /// For so many tokens.
    pub fn rope_append_grid(&self, tokens: u32) -> Grid {
        let all = self.heads + 2 * self.kv.kv_heads as u32;
        Grid {
            blocks: [tokens, all.div_ceil(ROPE_HEADS), 1],
            threads: 128,
            shared_bytes: self.kv.head_dim as u32 * 4,
        }
    }

    /// One token of each sequence.
    pub fn decode(&self) -> Source {
        self.attention("attention_decode").named("paged_attention_cuda_decode")
    }

    /// Blocks that share out the positions of a sequence of `longest`, so that all multiprocessors have work.
    pub fn decode_splits(&self, tokens: u32, longest: u32, target: &Target) -> u32 {
        let wanted = (2 * target.units).div_ceil(tokens.max(1) * self.head_tiles());
        wanted.clamp(1, longest.div_ceil(WARPS * GROUP_POSITIONS).max(1))
    }

    /// For so many tokens, each one's positions shared out among `splits` blocks.
    pub fn decode_grid(&self, tokens: u32, splits: u32) -> Grid {
        Grid {
            blocks: [splits, self.head_tiles(), tokens],
            threads: WARPS * 32,
            shared_bytes: (WARPS * self.part() + 1) * 4,
        }
    }

    /// Partial sums (f32) and counters (u32, zeros before the first launch) that the launch needs.
    pub fn decode_workspace(&self, tokens: u32, splits: u32) -> (u64, u64) {
        let tiles = u64::from(tokens) * u64::from(self.head_tiles());
        (tiles * u64::from(splits) * u64::from(self.part()), tiles)
    }

    /// Many tokens of each sequence.
    pub fn prefill(&self) -> Source {
        self.attention("attention_prefill").named("paged_attention_cuda_prefill")
    }

    /// For so many tokens of so many sequences, however they are shared out.
    pub fn prefill_grid(&self, tokens: u32, sequences: u32) -> Grid {
        let tile_tokens = WARPS * WARP_ROWS / self.group();
        Grid {
            blocks: [tokens / tile_tokens + sequences, self.kv.kv_heads as u32, 1],
            threads: WARPS * 32,
            shared_bytes: 0,
        }
    }

    /// Query heads that share a KV head.
    fn group(&self) -> u32 {
        self.heads / self.kv.kv_heads as u32
    }

    /// Query heads that a block of attention_decode computes.
    fn tile_heads(&self) -> u32 {
        self.group().min(WARP_ROWS)
    }

    fn head_tiles(&self) -> u32 {
        self.kv.kv_heads as u32 * self.group().div_ceil(self.tile_heads())
    }

    /// Floats of one block's sums: for each head its channels, greatest score and weight.
    fn part(&self) -> u32 {
        self.tile_heads() * (self.kv.head_dim as u32 + 2)
    }

    fn attention(&self, stem: &str) -> Source {
        self.source(stem).define("WARPS", WARPS).define("WINDOW", self.window.unwrap_or(0))
    }

    fn source(&self, stem: &str) -> Source {
        let source = self
            .activation
            .source(stem)
            .define("HEADS", self.heads)
            .define("KV_HEADS", self.kv.kv_heads)
            .define("HEAD_DIM", self.kv.head_dim)
            .define("PAGE_TOKENS", self.kv.page_tokens);
        if self.kv.format == Format::F16 { source } else { source.define("KV_FP8", 1) }
    }
}
