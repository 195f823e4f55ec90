//! A ragged batch over a paged KV cache.

use std::fmt;

use half::f16;
use samp_abi::{Format, ScaleAxis};

use super::RandomValues;
use samp_kernels::{
    attention::{KvGeometry, SequenceSlice, cuda::Attention},
    format::f32_to_fp8,
};

/// Sizes of a model's attention.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and of values.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Positions in a page.
    pub page_tokens: usize,
    /// Whether the cache is fp8 rather than f16.
    pub fp8: bool,
}

impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Heads { heads, kv_heads, head_dim, page_tokens, .. } = self;
        let cache = if self.fp8 { "fp8" } else { "f16" };
        write!(f, "{heads} on {kv_heads} heads of {head_dim}, pages of {page_tokens} in {cache}")
    }
}

impl Heads {
    /// Geometry of the cache.
    pub fn geometry(&self) -> KvGeometry {
        let format = if self.fp8 { Format::Fp8E4m3(ScaleAxis::Tensor) } else { Format::F16 };
        let scales = if self.fp8 { [0.011, 0.004] } else { [1.0; 2] };
        let Heads { kv_heads, head_dim, page_tokens, .. } = *self;
        KvGeometry { format, scales, kv_heads, head_dim, page_tokens }
    }

    /// The kernels over the last `window` positions, or all for 0.
    pub fn attention(&self, window: usize) -> Attention {
        let window = (window > 0).then_some(window);
        Attention::new(self.heads, self.geometry(), window).expect("kernels")
    }
}

/// Sequences of a step, each with its cached positions and its tokens of this step.
pub struct Batch {
    /// Sizes of the model's attention.
    pub heads: Heads,
    spans: Vec<(usize, usize)>,
    pages: Vec<Vec<u32>>,
    /// The layer's pool; what was never written is NaN.
    pub pool: Vec<u8>,
}

impl Batch {
    /// `spans` holds how many positions each sequence has cached and how many tokens it adds. Pages are dealt in random
    /// order; every position, with this step's tokens, is filled with random numbers where `filled`.
    pub fn new(heads: Heads, spans: &[(usize, usize)], filled: bool) -> Batch {
        let needed = |&(start, tokens): &(usize, usize)| (start + tokens).div_ceil(heads.page_tokens);
        let total: usize = spans.iter().map(needed).sum();
        let mut numbers = RandomValues::new(11);
        let mut deck: Vec<u32> = (0..total as u32 + 1).collect();
        let pages = spans.iter().map(|span| {
            let mut draw = || deck.swap_remove(numbers.below(deck.len()));
            (0..needed(span)).map(|_| draw()).collect()
        });
        let pages: Vec<Vec<u32>> = pages.collect();
        let pool = vec![0xff; (total + 1) * heads.geometry().page_bytes()];
        let mut batch = Batch { heads, spans: spans.to_vec(), pages, pool };
        if filled {
            batch.fill(&mut numbers);
        }
        batch
    }

    fn fill(&mut self, numbers: &mut RandomValues) {
        let kv = self.heads.geometry();
        for (&(start, tokens), pages) in self.spans.iter().zip(&self.pages) {
            for position in 0..start + tokens {
                for which in 0..2 {
                    for head in 0..kv.kv_heads {
                        let page = pages[position / kv.page_tokens];
                        let at = kv.offset(page, which, head, position % kv.page_tokens);
                        for i in 0..kv.head_dim {
                            let x = numbers.uniform();
                            match self.heads.fp8 {
                                true => self.pool[at + i] = f32_to_fp8(x / kv.scales[which]),
                                false => self.pool[at + 2 * i..][..2]
                                    .copy_from_slice(&f16::from_f32(x).to_le_bytes()),
                            }
                        }
                    }
                }
            }
        }
    }

    /// As the references take them.
    pub fn slices(&self) -> Vec<SequenceSlice<'_>> {
        self.spans
            .iter()
            .zip(&self.pages)
            .map(|(&(start, tokens), pages)| SequenceSlice { start, tokens, pages })
            .collect()
    }

    /// Tokens of this step.
    pub fn tokens(&self) -> usize {
        self.spans.iter().map(|(_, tokens)| tokens).sum()
    }

    /// The position of each token.
    pub fn positions(&self) -> Vec<i32> {
        self.spans.iter().flat_map(|&(start, tokens)| start as i32..(start + tokens) as i32).collect()
    }

    /// The sequence of each token.
    pub fn sequences(&self) -> Vec<i32> {
        let each = |(i, &(_, tokens)): (usize, &(usize, usize))| std::iter::repeat_n(i as i32, tokens);
        self.spans.iter().enumerate().flat_map(each).collect()
    }

    /// The first token of each sequence, and the number of tokens.
    pub fn starts(&self) -> Vec<i32> {
        let ends = self.spans.iter().scan(0, |end, &(_, tokens)| {
            *end += tokens as i32;
            Some(*end)
        });
        std::iter::once(0).chain(ends).collect()
    }

    /// Pages of each sequence, far out of range where there are none, and the length of a row.
    pub fn page_table(&self) -> (Vec<i32>, i32) {
        let most = self.pages.iter().map(Vec::len).max().unwrap_or(0) + 1;
        let row = |pages: &Vec<u32>| {
            let mut row: Vec<i32> = pages.iter().map(|&page| page as i32).collect();
            row.resize(most, i32::MAX);
            row
        };
        (self.pages.iter().flat_map(row).collect(), most as i32)
    }
}
