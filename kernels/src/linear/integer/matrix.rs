//! Many tokens in matrix units: tiles of 16 tokens and tiles of 16 rows of a weight, 64 columns of both.

use super::{
    super::{
        decode::{BLOCK, Weight, prefetch_lines},
        tiles::{MAX_TASK_TILES, PANEL_TILES},
    },
    activations::{Factors, ROUNDING_WORK, round},
    bytes::{DecodeBytes, LOW_BITS, block_codes, place, split, sum_of_words},
    direct::add_sum,
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
    /// `[tiles of tokens, blocks]`: the low bytes and the high ones.
    tiles: Vec<[Tile; 2]>,
    /// `[tiles of tokens, blocks, tokens]`.
    factors: Vec<[Factors; TILE_ROWS]>,
}

impl TokenTiles {
    /// Rounds `x` of `[tokens, cols]`, whole blocks; the even columns of eight come first where decoded weights have them so.
    pub(super) fn new(width: Width, x: &[f32], cols: usize, even_first: bool) -> TokenTiles {
        let mut order = [0; BLOCK];
        (0..BLOCK).for_each(|column| order[place(column, even_first)] = column as u8);
        let (tokens, blocks) = (x.len() / cols, cols / BLOCK);
        let of_tokens = tokens.div_ceil(TILE_ROWS);
        let mut tiles = vec![[Tile::ZERO; 2]; of_tokens * blocks];
        let mut factors = vec![[Factors::default(); TILE_ROWS]; of_tokens * blocks];
        let mut each: Vec<_> = tiles.iter_mut().zip(&mut factors).collect();
        for_each_of(&mut each, x.len() * ROUNDING_WORK, |index, (tiles, factors)| {
            let first = index / blocks * TILE_ROWS;
            let x = &x[first * cols..tokens.min(first + TILE_ROWS) * cols];
            let block = index % blocks;
            simd::run_bytes(width, RoundTile { x, cols, block, order: &order, tiles, factors });
        });
        TokenTiles { tokens, blocks, tiles, factors }
    }

    /// A block of a tile of tokens.
    #[inline(always)]
    fn block(&self, tile: usize, index: usize) -> (&[Tile; 2], &[Factors; TILE_ROWS]) {
        let at = tile * self.blocks + index;
        (&self.tiles[at], &self.factors[at])
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
    /// Results, zero on entry.
    tiles: &'a mut [Tile; 2],
    factors: &'a mut [Factors; TILE_ROWS],
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
            self.factors[row] = of_block;
        }
    }
}

/// Blocks of a panel that are decoded at a time: with them all tokens are multiplied, a tile of whose totals stays in the first
/// cache, and so many blocks of the tokens in the second.
const STRIP: usize = 16;

/// What a thread works in: a strip of a panel of weights, and the sums of a block.
pub(super) struct Scratch {
    weights: [[Tile; 2]; STRIP],
    sums: [TileSums; 4],
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch { weights: [[Tile::ZERO; 2]; STRIP], sums: [TileSums::ZERO; 4] }
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
            (2, 2) => self.strips::<L, 2, 2, 1, 3>(l),
            (2, _) => self.strips::<L, 2, 1, 2, 2>(l),
            _ => self.strips::<L, 1, 1, 2, 2>(l),
        }
    }
}

/// The scale of each row of a block and its zero point.
type Scale<L> = (<L as simd::Lanes>::F, Option<<L as simd::Lanes>::F>);

impl<D: DecodeBytes> Matrix<'_, D> {
    /// `R` tiles of weights at a time, in `W` bytes each, so that products count for `S` powers.
    #[inline(always)]
    fn strips<L: ByteLanes, const Q: usize, const W: usize, const R: usize, const S: usize>(self, l: L) {
        const { assert!(PANEL_TILES.is_multiple_of(R)) }
        let Matrix { weight, x, tiles, totals, scratch } = self;
        let units = Tiles::new(x.tokens.min(TILE_ROWS)).expect("this width has matrix units");
        let table = weight.decoder.byte_table(l);
        let offset = l.splat_u8((weight.decoder.offset() >> (LOW_BITS as usize * (W - 1))) as u8);
        // A tile beyond the end is the last one again; nobody reads its totals.
        let tile = |slot: usize| (tiles.start + slot).min(tiles.end - 1);
        let mut states: [_; MAX_TASK_TILES] = from_fn(|slot| weight.decoder.tile(tile(slot)));
        let last_panel = tiles.len().div_ceil(R) - 1;
        // The codes of a strip of a panel; none beyond the end.
        let codes = |first: usize, panel: usize| -> [&[u8]; R] {
            let columns = STRIP.min(x.blocks - first) * BLOCK;
            from_fn(|r| bytemuck::cast_slice(weight.codes(tile(panel * R + r), first * BLOCK, columns)))
        };
        for strip in (0..x.blocks).step_by(STRIP) {
            let strip = strip..x.blocks.min(strip + STRIP);
            let panels = totals.chunks_exact_mut(R * x.tokens).zip(states.chunks_exact_mut(R));
            for (panel, (totals, states)) in panels.enumerate() {
                let mut scales: [[Scale<L>; R]; STRIP] = [[(l.splat(0.0), None); R]; STRIP];
                for ((index, weights), scales) in strip.clone().zip(&mut scratch.weights).zip(&mut scales) {
                    for r in 0..R {
                        let codes = block_codes(weight, tile(panel * R + r), index);
                        decode_block::<L, D, Q, W>(l, (table, offset), codes, &mut weights[r * W..]);
                        let (scale, block) = weight.decoder.block(l, &mut states[r], index);
                        scales[r] = (scale, D::zero_point::<L>(&block));
                    }
                }
                let next =
                    if panel < last_panel { codes(strip.start, panel + 1) } else { codes(strip.end, 0) };
                let strip = Strip {
                    l,
                    units: &units,
                    weights: &scratch.weights,
                    scales: &scales,
                    x,
                    blocks: strip.clone(),
                    next,
                    block_bytes: size_of::<D::BlockCodes>(),
                };
                strip.multiply::<S>(totals, &mut scratch.sums);
            }
        }
    }
}

/// Writes the bytes of a tile's block with their signs, one tile of the unit for each byte of a word.
#[inline(always)]
fn decode_block<L: ByteLanes, D: DecodeBytes, const Q: usize, const W: usize>(
    l: L,
    (table, offset): (D::ByteTable<L>, L::Bytes),
    codes: &D::BlockCodes,
    to: &mut [Tile],
) {
    for step in 0..TILE_ROWS / Q {
        let quads = D::bytes::<L, Q, W>(l, table, codes, step);
        for (q, limbs) in quads.into_iter().enumerate() {
            for (w, bytes) in limbs.into_iter().enumerate() {
                let bytes = if w + 1 == W { l.sub_bytes(bytes, offset) } else { bytes };
                l.store_bytes(bytes, &mut to[w].0[step * Q + q]);
            }
        }
    }
}

/// Some blocks of `R` tiles of weights against all tokens.
struct Strip<'a, L: ByteLanes, const R: usize> {
    l: L,
    units: &'a Tiles,
    weights: &'a [[Tile; 2]; STRIP],
    scales: &'a [[Scale<L>; R]; STRIP],
    x: &'a TokenTiles,
    blocks: Range<usize>,
    /// The codes that are decoded next, which memory is asked for meanwhile.
    next: [&'a [u8]; R],
    block_bytes: usize,
}

impl<L: ByteLanes, const R: usize> Strip<'_, L, R> {
    /// Adds to the totals `[R, tokens]`. The units multiply a block while the sums of the one before are added, which are
    /// read before those of the block are written in their place.
    #[inline(always)]
    fn multiply<const S: usize>(&self, totals: &mut [[f32; LANES]], sums: &mut [TileSums; 4]) {
        for tokens in 0..self.x.tokens.div_ceil(TILE_ROWS) {
            for slot in 0..self.blocks.len() {
                self.units.load_right(&self.weights[slot]);
                self.units.load_left(self.x.block(tokens, self.blocks.start + slot).0);
                if R == 1 {
                    self.units.multiply_words();
                } else {
                    self.units.multiply_each();
                }
                if tokens == 0 {
                    self.prefetch(slot);
                }
                if slot > 0 {
                    self.add::<S>(tokens, slot - 1, sums, totals);
                }
                if R == 1 {
                    self.units.store_words(sums);
                } else {
                    self.units.store_each(sums);
                }
            }
            self.add::<S>(tokens, self.blocks.len() - 1, sums, totals);
        }
    }

    /// Asks memory for a block of what is decoded next.
    #[inline(always)]
    fn prefetch(&self, slot: usize) {
        for codes in self.next {
            let block = codes.chunks(self.block_bytes).nth(slot).unwrap_or(&[]);
            prefetch_lines(self.l, block.as_ptr(), block.len());
        }
    }

    /// Adds the sums of a block of a tile of tokens.
    #[inline(always)]
    fn add<const S: usize>(
        &self,
        tile: usize,
        slot: usize,
        sums: &[TileSums; 4],
        totals: &mut [[f32; LANES]],
    ) {
        let l = self.l;
        let tokens = tile * TILE_ROWS..self.x.tokens.min((tile + 1) * TILE_ROWS);
        let (_, factors) = self.x.block(tile, self.blocks.start + slot);
        for r in 0..R {
            let scale = self.scales[slot][r];
            let totals = &mut totals[r * self.x.tokens..][tokens.clone()];
            for (row, (total, x)) in totals.iter_mut().zip(factors).enumerate() {
                let mut of_powers = [l.splat_i32(0); S];
                for (s, of_power) in of_powers.iter_mut().enumerate() {
                    *of_power = l.load_sums(&sums[r * S + s].0[row]);
                }
                let sum = sum_of_words(l, of_powers);
                l.store(add_sum(l, l.load(total), sum, scale, x), total);
            }
        }
    }
}
