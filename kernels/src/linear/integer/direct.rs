//! Few tokens: weights become words in registers and are used at once.

use super::{
    super::decode::{BLOCK, Weight, prefetch},
    activations::{Activations, Factors, Words},
    decode::DecodeWords,
};
use crate::simd::{IntegerJob, IntegerLanes, LANES};
use std::{array::from_fn, ops::Range};

/// The sums of some tiles for all tokens.
pub(super) struct Direct<'a, D: DecodeWords> {
    pub(super) weight: &'a Weight<'a, D>,
    pub(super) x: &'a Activations,
    pub(super) tiles: Range<usize>,
    /// Result `[tiles, tokens]`.
    pub(super) totals: &'a mut [[f32; LANES]],
}

impl<D: DecodeWords> IntegerJob for Direct<'_, D> {
    type Output = ();

    /// Tokens are taken in blocks; the fewer they are, the more tiles go side by side, so that there are always
    /// enough independent sums to hide the latency of a product.
    #[inline(always)]
    fn run<L: IntegerLanes>(mut self, l: L) {
        let mut token = 0;
        while token < self.x.tokens {
            token += match self.x.tokens - token {
                8.. if L::REGISTERS >= 32 => self.tokens::<L, 8, 2>(l, token),
                4.. if L::REGISTERS >= 32 => self.tokens::<L, 4, 2>(l, token),
                4.. => self.tokens::<L, 4, 1>(l, token),
                2.. => self.tokens::<L, 2, 2>(l, token),
                _ => self.tokens::<L, 1, 4>(l, token),
            };
        }
    }
}

impl<D: DecodeWords> Direct<'_, D> {
    /// Sums `T` tokens, `R` tiles at a time, and returns `T`.
    #[inline(always)]
    fn tokens<L: IntegerLanes, const T: usize, const R: usize>(&mut self, l: L, token: usize) -> usize {
        let tiles = self.tiles.len();
        for first in (0..tiles).step_by(R) {
            // Beyond the end the last tile is summed again and dropped.
            let side_by_side: [usize; R] = from_fn(|r| self.tiles.start + (first + r).min(tiles - 1));
            let totals = totals::<L, D, T, R>(l, self.weight, side_by_side, (self.x, token));
            for (token, totals) in (token..).zip(totals) {
                for (r, total) in totals.into_iter().enumerate().take(tiles - first) {
                    l.store(total, &mut self.totals[(first + r) * self.x.tokens + token]);
                }
            }
        }
        T
    }
}

/// `Σ_blocks scale · Σ_columns word · x` for each token and tile.
#[inline(always)]
fn totals<L: IntegerLanes, D: DecodeWords, const T: usize, const R: usize>(
    l: L,
    weight: &Weight<'_, D>,
    tiles: [usize; R],
    (x, token): (&Activations, usize),
) -> [[L::F; R]; T] {
    let mut totals = [[l.splat(0.0); R]; T];
    let mut states = tiles.map(|tile| weight.decoder.tile(tile));
    let table = weight.decoder.table(l);
    for index in 0..x.blocks {
        let first = index * BLOCK;
        let columns = BLOCK.min(weight.cols - first);
        let codes = |columns| tiles.map(|tile| weight.codes(tile, first, columns));
        codes(columns).into_iter().for_each(|codes| prefetch(l, codes));
        let (words, factors) = (x.words::<T>(index, token), x.factors::<T>(index, token));
        // A whole block has its own copy of the loop, in which every length is a constant.
        let sums = if columns == BLOCK {
            block_sums::<L, D, T, R>(l, table, codes(BLOCK), words)
        } else {
            block_sums::<L, D, T, R>(l, table, codes(columns), words)
        };
        for r in 0..R {
            let (scale, block) = weight.decoder.block(l, &mut states[r], index);
            for t in 0..T {
                totals[t][r] = add_block::<L, D>(l, totals[t][r], sums[t][r], (scale, &block), &factors[t]);
            }
        }
    }
    totals
}

/// Adds the sum of a block to the total, its scales applied.
#[inline(always)]
pub(super) fn add_block<L: IntegerLanes, D: DecodeWords>(
    l: L,
    total: L::F,
    sums: L::Sums,
    (scale, block): (L::F, &D::Block<L>),
    x: &Factors,
) -> L::F {
    add_sum(l, total, sums, (scale, D::zero_point::<L>(block)), x)
}

/// Adds the sum of a block, its words less a zero point and times a scale.
#[inline(always)]
pub(super) fn add_sum<L: IntegerLanes>(
    l: L,
    total: L::F,
    sums: L::Sums,
    (scale, zero_point): (L::F, Option<L::F>),
    x: &Factors,
) -> L::F {
    let mut sum = l.sums_to_f32(sums);
    if let Some(zero_point) = zero_point {
        // Exact: both parts of the difference are below 2²⁴.
        sum = l.mul_add(zero_point, l.splat(-x.sum), sum);
    }
    l.mul_add(sum, l.mul(scale, l.splat(x.scale)), total)
}

/// The sums over one block's columns.
#[inline(always)]
fn block_sums<L: IntegerLanes, D: DecodeWords, const T: usize, const R: usize>(
    l: L,
    table: D::Table<L>,
    codes: [&[D::Codes]; R],
    x: &[Words; T],
) -> [[L::Sums; R]; T] {
    let mut sums = [[l.splat_i32(0); R]; T];
    let whole = codes[0].len() / D::CODES;
    for step in 0..whole {
        for r in 0..R {
            let words = D::words(l, table, &codes[r][step * D::CODES..][..D::CODES]);
            for (pair, words) in words.into_iter().enumerate() {
                for t in 0..T {
                    let x = x[t].0[step * (<D as DecodeWords>::COLUMNS / 2) + pair];
                    sums[t][r] = l.add_dots(sums[t][r], words, x);
                }
            }
        }
    }
    // An odd last column stands beside nothing.
    if codes[0].len() > whole * D::CODES {
        for r in 0..R {
            let words = l.pair_bytes(&last_column::<D>(&codes[r][whole * D::CODES]));
            for t in 0..T {
                sums[t][r] = l.add_dots(sums[t][r], words, x[t].0[whole]);
            }
        }
    }
    sums
}

/// Only int8, a byte for each column, has rows of odd length.
#[inline(always)]
pub(super) fn last_column<D: DecodeWords>(codes: &D::Codes) -> [[u8; LANES]; 2] {
    let mut column = [0; LANES];
    column.copy_from_slice(bytemuck::bytes_of(codes));
    [column, [0; LANES]]
}
