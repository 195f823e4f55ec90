//! Few tokens: weights are decoded in registers and used at once.

use super::decode::{BLOCK, Decode, Weight, prefetch};
use crate::simd::{Job, LANES, Lanes};
use std::{array::from_fn, ops::Range};

/// The sums of some tiles for all tokens.
pub(super) struct Direct<'a, D: Decode> {
    pub(super) weight: &'a Weight<'a, D>,
    pub(super) x: &'a [f32],
    pub(super) tiles: Range<usize>,
    /// Result `[tiles, tokens]`.
    pub(super) totals: &'a mut [[f32; LANES]],
}

impl<D: Decode> Job for Direct<'_, D> {
    type Output = ();

    /// Tokens are taken in blocks; the fewer they are, the more tiles go side by side, so that there are always
    /// enough independent sums to hide the latency of an addition.
    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        let tokens = self.x.len() / self.weight.cols;
        let mut token = 0;
        while token < tokens {
            token += match tokens - token {
                8.. if L::REGISTERS >= 32 => self.tokens::<L, 8, 2>(l, token),
                4.. if L::REGISTERS >= 32 => self.tokens::<L, 4, 4>(l, token),
                4.. => self.tokens::<L, 4, 1>(l, token),
                2.. if L::REGISTERS >= 32 => self.tokens::<L, 2, 4>(l, token),
                2.. => self.tokens::<L, 2, 2>(l, token),
                _ => self.tokens::<L, 1, 4>(l, token),
            };
        }
    }
}

impl<D: Decode> Direct<'_, D> {
    /// Sums `T` tokens, `R` tiles at a time, and returns `T`.
    #[inline(always)]
    fn tokens<L: Lanes, const T: usize, const R: usize>(&mut self, l: L, token: usize) -> usize {
        let (cols, tiles) = (self.weight.cols, self.tiles.len());
        let tokens = self.x.len() / cols;
        let x: [&[f32]; T] = from_fn(|t| &self.x[(token + t) * cols..][..cols]);
        for first in (0..tiles).step_by(R) {
            // Beyond the end the last tile is summed again and dropped.
            let side_by_side: [usize; R] = from_fn(|r| self.tiles.start + (first + r).min(tiles - 1));
            let totals = totals(l, self.weight, side_by_side, x);
            for (token, totals) in (token..).zip(totals) {
                for (r, total) in totals.into_iter().enumerate().take(tiles - first) {
                    l.store(total, &mut self.totals[(first + r) * tokens + token]);
                }
            }
        }
        T
    }
}

/// `Σ_blocks scale · Σ_columns weight · x` for each token and tile.
#[inline(always)]
fn totals<L: Lanes, D: Decode, const T: usize, const R: usize>(
    l: L,
    weight: &Weight<'_, D>,
    tiles: [usize; R],
    x: [&[f32]; T],
) -> [[L::F; R]; T] {
    let mut totals = [[l.splat(0.0); R]; T];
    let mut states = tiles.map(|tile| weight.decoder.tile(tile));
    for first in (0..weight.cols).step_by(BLOCK) {
        let (scale, decoder) = weight.decoder.block(l, &mut states[0], first / BLOCK);
        let (mut scales, mut decoders) = ([scale; R], [decoder; R]);
        for r in 1..R {
            (scales[r], decoders[r]) = weight.decoder.block(l, &mut states[r], first / BLOCK);
        }
        let columns = BLOCK.min(weight.cols - first);
        let codes = |columns| tiles.map(|tile| weight.codes(tile, first, columns));
        codes(columns).into_iter().for_each(|codes| prefetch(l, codes));
        // A whole block has its own copy of the loop, in which every length is a constant.
        let sums = if D::COLUMNS > 1 || columns == BLOCK {
            block_sums::<L, D, T, R>(l, decoders, codes(BLOCK), x.map(|x| &x[first..][..BLOCK]))
        } else {
            block_sums::<L, D, T, R>(l, decoders, codes(columns), x.map(|x| &x[first..][..columns]))
        };
        for t in 0..T {
            for r in 0..R {
                totals[t][r] = l.mul_add(sums[t][r], scales[r], totals[t][r]);
            }
        }
    }
    totals
}

/// The sums over one block's columns, in ascending order.
#[inline(always)]
fn block_sums<L: Lanes, D: Decode, const T: usize, const R: usize>(
    l: L,
    decoders: [D::Block<L>; R],
    codes: [&[D::Codes]; R],
    x: [&[f32]; T],
) -> [[L::F; R]; T] {
    let mut sums = [[l.splat(0.0); R]; T];
    for step in 0..codes[0].len() {
        for r in 0..R {
            let weights = D::decode(l, decoders[r], &codes[r][step]);
            for (c, weight) in weights.into_iter().enumerate() {
                for t in 0..T {
                    let x = l.splat(x[t][step * D::COLUMNS + c]);
                    sums[t][r] = l.mul_add(weight, x, sums[t][r]);
                }
            }
        }
    }
    sums
}
