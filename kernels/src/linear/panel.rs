//! Many tokens: weights are decoded once into a panel of f32, which then meets blocks of tokens in registers.

use super::{
    decode::{BLOCK, Decode, Weight, prefetch},
    tiles::{MAX_TASK_TILES, PANEL_TILES},
    tokens::PackedTokens,
};
use crate::simd::{self, Job, LANES, Lanes, Width};
use std::{array::from_fn, ops::Range};

/// Columns of a panel: with the tokens it meets it stays in the first-level cache.
const PANEL_COLUMNS: usize = 128;

/// The sums of some tiles for all packed tokens.
pub(super) struct Panel<'a, D: Decode> {
    pub(super) weight: &'a Weight<'a, D>,
    pub(super) x: &'a PackedTokens,
    pub(super) tiles: Range<usize>,
    /// Result `[tiles, tokens]`, zero on entry, with whole panels of tiles.
    pub(super) totals: &'a mut [[f32; LANES]],
    pub(super) scratch: &'a mut Decoded,
}

impl<D: Decode> Panel<'_, D> {
    pub(super) fn run(self, width: Width) {
        let Panel { weight, x, tiles, totals, scratch: decoded } = self;
        // A tile beyond the end is the last one again; nobody reads its totals.
        let tile = |slot: usize| (tiles.start + slot).min(tiles.end - 1);
        let mut states: [_; MAX_TASK_TILES] = from_fn(|slot| weight.decoder.tile(tile(slot)));
        for first in (0..weight.cols).step_by(PANEL_COLUMNS) {
            let columns = first..weight.cols.min(first + PANEL_COLUMNS);
            let panels =
                totals.chunks_exact_mut(PANEL_TILES * x.tokens).zip(states.chunks_exact_mut(PANEL_TILES));
            for (panel, (totals, states)) in panels.enumerate() {
                let tiles = from_fn(|r| tile(panel * PANEL_TILES + r));
                simd::run(width, DecodePanel { weight, tiles, columns: columns.clone(), states, decoded });
                simd::run(width, Multiply { decoded, x, columns: columns.clone(), totals });
            }
        }
    }
}

/// A decoded panel.
pub(super) struct Decoded {
    weights: [[[f32; LANES]; PANEL_COLUMNS]; PANEL_TILES],
    scales: [[[f32; LANES]; PANEL_COLUMNS / BLOCK]; PANEL_TILES],
}

impl Default for Decoded {
    fn default() -> Decoded {
        Decoded {
            weights: [[[0.0; LANES]; PANEL_COLUMNS]; PANEL_TILES],
            scales: [[[0.0; LANES]; PANEL_COLUMNS / BLOCK]; PANEL_TILES],
        }
    }
}

/// Decodes some columns of a panel's tiles.
struct DecodePanel<'a, D: Decode> {
    weight: &'a Weight<'a, D>,
    tiles: [usize; PANEL_TILES],
    columns: Range<usize>,
    states: &'a mut [D::Tile],
    decoded: &'a mut Decoded,
}

impl<D: Decode> Job for DecodePanel<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let DecodePanel { weight, tiles, columns, states, decoded } = self;
        for (r, tile) in tiles.into_iter().enumerate() {
            let blocks = decoded.weights[r][..columns.len()].chunks_mut(BLOCK);
            for (index, values) in blocks.enumerate() {
                let block = columns.start / BLOCK + index;
                let (scale, decoder) = weight.decoder.block(l, &mut states[r], block);
                l.store(scale, &mut decoded.scales[r][index]);
                let codes = weight.codes(tile, block * BLOCK, values.len());
                prefetch(l, codes);
                for (codes, to) in codes.iter().zip(values.chunks_exact_mut(D::COLUMNS)) {
                    for (value, to) in D::decode(l, decoder, codes).into_iter().zip(to) {
                        l.store(value, to);
                    }
                }
            }
        }
    }
}

/// Adds a panel's columns to the totals of all tokens.
struct Multiply<'a> {
    decoded: &'a Decoded,
    x: &'a PackedTokens,
    columns: Range<usize>,
    /// `[PANEL_TILES, tokens]`.
    totals: &'a mut [[f32; LANES]],
}

impl Job for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        let mut token = 0;
        for &block in &self.x.blocks {
            match block {
                12 => self.block::<L, 12>(l, token),
                8 => self.block::<L, 8>(l, token),
                6 => self.block::<L, 6>(l, token),
                4 => self.block::<L, 4>(l, token),
                2 => self.block::<L, 2>(l, token),
                _ => self.block::<L, 1>(l, token),
            }
            token += block;
        }
    }
}

impl Multiply<'_> {
    /// `T` tokens from `token` on.
    #[inline(always)]
    fn block<L: Lanes, const T: usize>(&mut self, l: L, token: usize) {
        if L::REGISTERS >= 32 {
            self.tiles::<L, T, PANEL_TILES>(l, token, 0);
        } else {
            for tile in 0..PANEL_TILES {
                self.tiles::<L, T, 1>(l, token, tile);
            }
        }
    }

    /// `T` tokens and `R` tiles of the panel from `first` on, whose sums stay in registers.
    #[inline(always)]
    fn tiles<L: Lanes, const T: usize, const R: usize>(&mut self, l: L, token: usize, first: usize) {
        let Decoded { weights, scales } = self.decoded;
        for (index, x) in self.x.columns::<T>(token, self.columns.clone()).chunks(BLOCK).enumerate() {
            let weights: [&[[f32; LANES]]; R] = from_fn(|r| &weights[first + r][index * BLOCK..][..x.len()]);
            let sums = block_sums(l, weights, x);
            for r in 0..R {
                let scale = l.load(&scales[first + r][index]);
                let totals = &mut self.totals[(first + r) * self.x.tokens + token..][..T];
                for (t, total) in totals.iter_mut().enumerate() {
                    l.store(l.mul_add(sums[t][r], scale, l.load(total)), total);
                }
            }
        }
    }
}

/// The sums over one block's columns, in ascending order.
#[inline(always)]
fn block_sums<L: Lanes, const T: usize, const R: usize>(
    l: L,
    weights: [&[[f32; LANES]]; R],
    x: &[[f32; T]],
) -> [[L::F; R]; T] {
    let mut sums = [[l.splat(0.0); R]; T];
    for (c, x) in x.iter().enumerate() {
        let mut weight = [l.splat(0.0); R];
        for r in 0..R {
            weight[r] = l.load(&weights[r][c]);
        }
        for t in 0..T {
            let x = l.splat(x[t]);
            for r in 0..R {
                sums[t][r] = l.mul_add(weight[r], x, sums[t][r]);
            }
        }
    }
    sums
}
