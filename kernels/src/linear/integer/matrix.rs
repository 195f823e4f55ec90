//! Many tokens in matrix units: tiles of 16 tokens and tiles of 16 rows of a weight, 64 columns of both.

use super::{
    super::{
        decode::{BLOCK, Decode, Weight},
        tiles::{MAX_TASK_TILES, PANEL_TILES},
    },
    activations::{Factors, ROUNDING_WORK, round},
    bytes::{DecodeBytes, correction, place, split, sum_of_words},
    direct::add_block,
};
use crate::{
    parallel::for_each_of,
    simd::{
        self, ByteJob, ByteLanes, LANES, Width,
        amx::{TILE_ROWS, Tile, TileSums, Tiles},
    },
};
use std::{array::from_fn, ops::Range};

/// Rounded inputs in bytes.
pub(super) struct TokenTiles {
    tokens: usize,
    blocks: usize,
    /// `[blocks, tiles of tokens]`: the low bytes and the high ones.
    tiles: Vec<[Tile; 2]>,
    /// `[blocks, tiles of tokens, tokens]`.
    factors: Vec<[TokenFactors; TILE_ROWS]>,
}

/// What the sums over a block of one token are to be corrected by.
#[derive(Clone, Copy, Default)]
struct TokenFactors {
    factors: Factors,
    correction: i32,
}

impl TokenTiles {
    /// Rounds `x` of `[tokens, cols]`, whole blocks, as `decoder` wants them.
    pub(super) fn new<D: DecodeBytes>(width: Width, x: &[f32], cols: usize, decoder: D) -> TokenTiles {
        let mut order = [0; BLOCK];
        (0..BLOCK).for_each(|column| order[place(column, D::EVEN_FIRST)] = column as u8);
        let offset = decoder.offset();
        let (tokens, blocks) = (x.len() / cols, cols / BLOCK);
        let per_block = tokens.div_ceil(TILE_ROWS);
        let mut tiles = vec![[Tile::ZERO; 2]; blocks * per_block];
        let mut factors = vec![[TokenFactors::default(); TILE_ROWS]; blocks * per_block];
        let mut each: Vec<_> = tiles.iter_mut().zip(&mut factors).collect();
        for_each_of(&mut each, x.len() * ROUNDING_WORK, |index, (tiles, factors)| {
            let first = index % per_block * TILE_ROWS;
            let x = &x[first * cols..tokens.min(first + TILE_ROWS) * cols];
            let block = index / per_block;
            simd::run_bytes(width, RoundTile { x, cols, block, order: &order, offset, tiles, factors });
        });
        TokenTiles { tokens, blocks, tiles, factors }
    }

    fn per_block(&self) -> usize {
        self.tokens.div_ceil(TILE_ROWS)
    }

    /// The tiles of a block and their factors.
    fn block(&self, index: usize) -> (&[[Tile; 2]], &[TokenFactors]) {
        let tiles = index * self.per_block()..(index + 1) * self.per_block();
        (&self.tiles[tiles.clone()], &self.factors[tiles].as_flattened()[..self.tokens])
    }
}

/// Rounds a block of a tile's tokens.
struct RoundTile<'a> {
    /// At most [`TILE_ROWS`] of them.
    x: &'a [f32],
    cols: usize,
    block: usize,
    /// The column of each byte.
    order: &'a [u8; BLOCK],
    offset: i32,
    /// Results, zero on entry.
    tiles: &'a mut [Tile; 2],
    factors: &'a mut [TokenFactors; TILE_ROWS],
}

impl ByteJob for RoundTile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: ByteLanes>(self, l: L) {
        for (row, x) in self.x.chunks_exact(self.cols).enumerate() {
            let (words, of_block) = round(l, &x[self.block * BLOCK..][..BLOCK]);
            let words: [i16; BLOCK] = bytemuck::cast(words.0);
            let mut bytes = [[0; BLOCK]; 2];
            for (column, &word) in words.iter().enumerate() {
                let [low, high] = split(word);
                bytes[0][column] = low as u8;
                bytes[1][column] = high as u8;
            }
            for (tile, bytes) in self.tiles.iter_mut().zip(&bytes) {
                l.store_bytes(l.permute_bytes(bytes, self.order), &mut tile.0[row]);
            }
            let correction = correction(self.offset, &of_block);
            self.factors[row] = TokenFactors { factors: of_block, correction };
        }
    }
}

/// Blocks whose inputs stay in the second-level cache while all panels of a task meet them.
const STRIP: usize = 8;

/// What a thread works in: a block of a panel of weights, and the sums of two tiles of tokens.
pub(super) struct Scratch {
    weights: [Tile; 2],
    sums: [Sums; 2],
}

/// The products of the right operands and the left ones.
type Sums = [[TileSums; 2]; 2];

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch { weights: [Tile::ZERO; 2], sums: [[[TileSums::ZERO; 2]; 2]; 2] }
    }
}

/// The sums of some tiles of a weight for all tokens.
pub(super) struct Matrix<'a, D: DecodeBytes> {
    pub(super) weight: &'a Weight<'a, D>,
    pub(super) x: &'a TokenTiles,
    pub(super) tiles: Range<usize>,
    /// Result `[tiles, tokens]`, zero on entry, with whole panels of tiles.
    pub(super) totals: &'a mut [[f32; LANES]],
    pub(super) scratch: &'a mut Scratch,
}

impl<D: DecodeBytes> ByteJob for Matrix<'_, D> {
    type Output = ();

    /// The two right operands of the units are two tiles of weights in one byte each, or one in two bytes.
    #[inline(always)]
    fn run<L: ByteLanes>(self, l: L) {
        match (D::QUADS, D::LIMBS) {
            (2, 2) => self.panels::<L, 2, 2, 1>(l),
            (2, _) => self.panels::<L, 2, 1, 2>(l),
            _ => self.panels::<L, 1, 1, 2>(l),
        }
    }
}

impl<D: DecodeBytes> Matrix<'_, D> {
    /// `R` tiles of weights at a time, in `W` bytes each.
    #[inline(always)]
    fn panels<L: ByteLanes, const Q: usize, const W: usize, const R: usize>(self, l: L) {
        const { assert!(PANEL_TILES.is_multiple_of(R)) }
        let Matrix { weight, x, tiles, totals, scratch } = self;
        let units = Tiles::new(x.tokens.min(TILE_ROWS)).expect("this width has matrix units");
        let table = weight.decoder.byte_table(l);
        let tokens = x.tokens;
        // A tile beyond the end is the last one again; nobody reads its totals.
        let tile = |slot: usize| (tiles.start + slot).min(tiles.end - 1);
        let mut states: [_; MAX_TASK_TILES] = from_fn(|slot| weight.decoder.tile(tile(slot)));
        for strip in (0..x.blocks).step_by(STRIP) {
            let panels = totals.chunks_exact_mut(R * tokens).zip(states.chunks_exact_mut(R));
            for (panel, (totals, states)) in panels.enumerate() {
                for index in strip..x.blocks.min(strip + STRIP) {
                    for r in 0..R {
                        let codes = weight.codes(tile(panel * R + r), index * BLOCK, BLOCK);
                        decode_block::<L, D, Q, W>(l, table, codes, &mut scratch.weights[r * W..]);
                    }
                    units.load_right(&scratch.weights);
                    let mut scales = [weight.decoder.block(l, &mut states[0], index); R];
                    for r in 1..R {
                        scales[r] = weight.decoder.block(l, &mut states[r], index);
                    }
                    let (of_block, factors) = x.block(index);
                    let mut add = AddSums::<L, D, R> { l, scales, factors, totals };
                    // The units multiply a tile of tokens while the sums of the one before are added.
                    for (at, tile) in of_block.iter().enumerate() {
                        units.load_left(tile);
                        units.multiply(&mut scratch.sums[at % 2]);
                        if at > 0 {
                            let next = of_block.get(at + 1).unwrap_or(&of_block[0]);
                            add.tokens::<W>((at - 1) * TILE_ROWS, &scratch.sums[(at - 1) % 2], next);
                        }
                    }
                    let last = of_block.len() - 1;
                    add.tokens::<W>(last * TILE_ROWS, &scratch.sums[last % 2], &of_block[0]);
                }
            }
        }
    }
}

/// Writes the bytes of a tile's block, one tile of the unit for each byte of a word.
#[inline(always)]
fn decode_block<L: ByteLanes, D: DecodeBytes, const Q: usize, const W: usize>(
    l: L,
    table: D::ByteTable<L>,
    codes: &[D::Codes],
    to: &mut [Tile],
) {
    for (step, codes) in codes.chunks_exact(D::STEP).enumerate() {
        let quads = D::bytes::<L, Q, W>(l, table, codes);
        for (q, limbs) in quads.iter().enumerate() {
            for (bytes, tile) in limbs.iter().zip(&mut *to) {
                l.store_bytes(*bytes, &mut tile.0[step * Q + q]);
            }
        }
    }
}

/// A block of `R` tiles of weights, whose sums are added to the totals.
struct AddSums<'a, L: ByteLanes, D: DecodeBytes, const R: usize> {
    l: L,
    scales: [(L::F, <D as Decode>::Block<L>); R],
    /// Of all tokens.
    factors: &'a [TokenFactors],
    /// `[R, tokens]`.
    totals: &'a mut [[f32; LANES]],
}

impl<L: ByteLanes, D: DecodeBytes, const R: usize> AddSums<'_, L, D, R> {
    /// Adds the sums of a tile of tokens, or of fewer at the end, and fetches the tile that comes next.
    #[inline(always)]
    fn tokens<const W: usize>(&mut self, first: usize, sums: &Sums, next: &[Tile; 2]) {
        let l = self.l;
        let tokens = first..self.factors.len().min(first + TILE_ROWS);
        for r in 0..R {
            let totals = &mut self.totals[r * self.factors.len()..][tokens.clone()];
            let factors = &self.factors[tokens.clone()];
            let (scale, block) = &self.scales[r];
            for (row, (total, x)) in totals.iter_mut().zip(factors).take(TILE_ROWS).enumerate() {
                for tile in next.iter().skip(r).step_by(R) {
                    l.prefetch(&tile.0[row]);
                }
                let mut of_words = [[l.splat_i32(0); 2]; W];
                for (of_word, sums) in of_words.iter_mut().zip(&sums[r * W..]) {
                    for (of_byte, sums) in of_word.iter_mut().zip(sums) {
                        *of_byte = l.load_sums(&sums.0[row]);
                    }
                }
                let sum = sum_of_words(l, of_words, x.correction);
                let added = add_block::<L, D>(l, l.load(total), sum, (*scale, block), &x.factors);
                l.store(added, total);
            }
        }
    }
}
