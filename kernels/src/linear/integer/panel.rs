//! Many tokens: weights become words once, in a panel that then meets blocks of tokens in registers.

use super::{
    super::{
        decode::{BLOCK, Decode, Weight, prefetch},
        tiles::{MAX_TASK_TILES, PANEL_TILES},
    },
    activations::{Activations, PAIRS},
    decode::DecodeWords,
    direct::add_block,
};
use crate::simd::{self, IntegerJob, IntegerLanes, LANES, Width};
use std::{array::from_fn, ops::Range};

/// The sums of some tiles for all tokens.
pub(super) struct Panel<'a, D: DecodeWords> {
    pub(super) weight: &'a Weight<'a, D>,
    pub(super) x: &'a Activations,
    pub(super) tiles: Range<usize>,
    /// Result `[tiles, tokens]`, zero on entry, with whole panels of tiles.
    pub(super) totals: &'a mut [[f32; LANES]],
    pub(super) scratch: &'a mut Decoded,
}

/// The words of a block of columns of a panel.
pub(super) struct Decoded {
    words: [[[[i16; 2]; LANES]; PAIRS]; PANEL_TILES],
}

impl Default for Decoded {
    fn default() -> Decoded {
        Decoded { words: [[[[0; 2]; LANES]; PAIRS]; PANEL_TILES] }
    }
}

impl<D: DecodeWords> Panel<'_, D> {
    pub(super) fn run(self, width: Width) {
        simd::run_integer(width, self);
    }
}

impl<D: DecodeWords> IntegerJob for Panel<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<L: IntegerLanes>(self, l: L) {
        let Panel { weight, x, tiles, totals, scratch: decoded } = self;
        // A tile beyond the end is the last one again; nobody reads its totals.
        let tile = |slot: usize| (tiles.start + slot).min(tiles.end - 1);
        let table = weight.decoder.table(l);
        let mut states: [_; MAX_TASK_TILES] = from_fn(|slot| weight.decoder.tile(tile(slot)));
        for index in 0..x.blocks {
            let first = index * BLOCK;
            let columns = BLOCK.min(weight.cols - first);
            let panels =
                totals.chunks_exact_mut(PANEL_TILES * x.tokens).zip(states.chunks_exact_mut(PANEL_TILES));
            for (panel, (totals, states)) in panels.enumerate() {
                for (r, words) in decoded.words.iter_mut().enumerate() {
                    let codes = weight.codes(tile(panel * PANEL_TILES + r), first, columns);
                    prefetch(l, codes);
                    decode_block::<L, D>(l, table, codes, words);
                }
                let mut scales = [weight.decoder.block(l, &mut states[0], index); PANEL_TILES];
                for (scale, state) in scales.iter_mut().zip(states).skip(1) {
                    *scale = weight.decoder.block(l, state, index);
                }
                Multiply::<L, D> { l, decoded, x, index, scales, totals }.all_tokens();
            }
        }
    }
}

/// Writes the words of a tile's block.
#[inline(always)]
fn decode_block<L: IntegerLanes, D: DecodeWords>(
    l: L,
    table: D::Table<L>,
    codes: &[D::Codes],
    to: &mut [[[i16; 2]; LANES]; PAIRS],
) {
    let steps = codes.chunks_exact(D::CODES);
    let odd = steps.remainder();
    let mut to = to.iter_mut();
    for codes in steps {
        for words in D::words(l, table, codes) {
            if let Some(to) = to.next() {
                l.store_words(words, to);
            }
        }
    }
    if let ([codes], Some(to)) = (odd, to.next()) {
        l.store_words(l.pair_bytes(&super::direct::last_column::<D>(codes)), to);
    }
    // What is left over of an earlier block meets inputs that are zero.
}

/// A panel's block against all tokens.
struct Multiply<'a, L: IntegerLanes, D: DecodeWords> {
    l: L,
    decoded: &'a Decoded,
    x: &'a Activations,
    index: usize,
    scales: [(L::F, <D as Decode>::Block<L>); PANEL_TILES],
    /// `[PANEL_TILES, tokens]`.
    totals: &'a mut [[f32; LANES]],
}

impl<L: IntegerLanes, D: DecodeWords> Multiply<'_, L, D> {
    #[inline(always)]
    fn all_tokens(mut self) {
        let mut token = 0;
        while token < self.x.tokens {
            token += match self.x.tokens - token {
                12.. if L::REGISTERS >= 32 => self.tokens::<12>(token),
                8.. if L::REGISTERS >= 32 => self.tokens::<8>(token),
                4.. => self.tokens::<4>(token),
                2.. => self.tokens::<2>(token),
                _ => self.tokens::<1>(token),
            };
        }
    }

    /// `T` tokens from `token` on; returns `T`.
    #[inline(always)]
    fn tokens<const T: usize>(&mut self, token: usize) -> usize {
        if L::REGISTERS >= 32 {
            self.tiles::<T, PANEL_TILES>(token, 0);
        } else {
            for tile in 0..PANEL_TILES {
                self.tiles::<T, 1>(token, tile);
            }
        }
        T
    }

    /// `T` tokens and `R` tiles of the panel from `first` on, whose sums stay in registers.
    #[inline(always)]
    fn tiles<const T: usize, const R: usize>(&mut self, token: usize, first: usize) {
        let l = self.l;
        let (x, factors) = (self.x.words::<T>(self.index, token), self.x.factors::<T>(self.index, token));
        let words: [&[[[i16; 2]; LANES]; PAIRS]; R] = from_fn(|r| &self.decoded.words[first + r]);
        let mut sums = [[l.splat_i32(0); R]; T];
        for (pair, first_words) in words[0].iter().enumerate() {
            let mut loaded = [l.load_words(first_words); R];
            for r in 1..R {
                loaded[r] = l.load_words(&words[r][pair]);
            }
            for t in 0..T {
                for r in 0..R {
                    sums[t][r] = l.add_dots(sums[t][r], loaded[r], x[t].0[pair]);
                }
            }
        }
        for (r, (scale, block)) in self.scales[first..][..R].iter().enumerate() {
            let totals = &mut self.totals[(first + r) * self.x.tokens + token..][..T];
            for (t, total) in totals.iter_mut().enumerate() {
                let added = add_block::<L, D>(l, l.load(total), sums[t][r], (*scale, block), &factors[t]);
                l.store(added, total);
            }
        }
    }
}
