//! Weights as bytes, which take half as many instructions to decode as words, and their products with one token.
//!
//! An input is split into two signed bytes, `x = 128 · high + low`, and a word of nf4 or fp4 into two unsigned ones. The
//! sums of their products, shifted into place and added up, are the exact sum that the words give.

use super::{
    super::decode::{BLOCK, Decode, Float4, Int4, Int5, Int6, Int8, Weight},
    activations::{Activations, Factors},
    decode::DecodeWords,
    direct::add_block,
};
use crate::simd::{ByteJob, ByteLanes, LANES};
use std::{array::from_fn, ops::Range};

/// Bits of the lower byte of an input.
const LOW_BITS: u32 = 7;

/// Decodes one format into bytes without a sign.
pub(super) trait DecodeBytes: DecodeWords {
    /// How many bytes make a word: `Σ byte[i] · 2^(SHIFT · i)`, less the offset.
    const LIMBS: usize;
    /// Elements of [`Decode::Codes`] that are decoded at a time.
    const STEP: usize;
    /// Vectors of four columns that these hold.
    const QUADS: usize = Self::STEP * <Self as Decode>::COLUMNS / 4;
    /// Whether the even columns of eight come before the odd ones.
    const EVEN_FIRST: bool;
    /// What is decoded with.
    type ByteTable<L: ByteLanes>: Copy;

    /// How much larger words are than values in units of [`DecodeWords::unit`].
    fn offset(self) -> i32;
    /// Puts into registers what is decoded with.
    fn byte_table<L: ByteLanes>(self, l: L) -> Self::ByteTable<L>;
    /// `[quad][limb]` of `STEP` codes.
    fn bytes<L: ByteLanes, const Q: usize, const W: usize>(
        l: L,
        table: Self::ByteTable<L>,
        codes: &[Self::Codes],
    ) -> [[L::Bytes; W]; Q];
}

/// Bits of the lower byte of a word of nf4 or fp4.
const SHIFT: u32 = 4;
/// Makes words of nf4 and fp4 positive, in 12 bits.
const FLOAT4_OFFSET: i32 = 2048;

impl DecodeBytes for Float4<'_> {
    const LIMBS: usize = 2;
    const STEP: usize = 4;
    const EVEN_FIRST: bool = true;
    type ByteTable<L: ByteLanes> = [L::Bytes; 2];

    fn offset(self) -> i32 {
        FLOAT4_OFFSET
    }

    #[inline(always)]
    fn byte_table<L: ByteLanes>(self, l: L) -> [L::Bytes; 2] {
        let words = self.steps().map(|step| i32::from(step) + FLOAT4_OFFSET);
        let low = words.map(|word| word as u8 & ((1 << SHIFT) - 1));
        [l.byte_table(&low), l.byte_table(&words.map(|word| (word >> SHIFT) as u8))]
    }

    #[inline(always)]
    fn bytes<L: ByteLanes, const Q: usize, const W: usize>(
        l: L,
        table: [L::Bytes; 2],
        codes: &[Self::Codes],
    ) -> [[L::Bytes; W]; Q] {
        let nibbles = l.nibbles(l.load_rows(from_fn(|i| &codes[i])));
        from_fn(|quad| from_fn(|limb| l.lookup_bytes(table[limb], nibbles[quad])))
    }
}

impl DecodeBytes for Int4<'_> {
    const LIMBS: usize = 1;
    const STEP: usize = 4;
    const EVEN_FIRST: bool = true;
    type ByteTable<L: ByteLanes> = L::Bytes;

    fn offset(self) -> i32 {
        if self.has_zero_points() { 0 } else { 8 }
    }

    #[inline(always)]
    fn byte_table<L: ByteLanes>(self, l: L) -> L::Bytes {
        l.splat_u8(self.offset() as u8 * 0x11)
    }

    #[inline(always)]
    fn bytes<L: ByteLanes, const Q: usize, const W: usize>(
        l: L,
        signs: L::Bytes,
        codes: &[Self::Codes],
    ) -> [[L::Bytes; W]; Q] {
        let nibbles = l.nibbles(l.xor_bytes(l.load_rows(from_fn(|i| &codes[i])), signs));
        from_fn(|quad| [nibbles[quad]; W])
    }
}

impl DecodeBytes for Int8 {
    const LIMBS: usize = 1;
    const STEP: usize = 4;
    const EVEN_FIRST: bool = false;
    type ByteTable<L: ByteLanes> = L::Bytes;

    fn offset(self) -> i32 {
        128
    }

    #[inline(always)]
    fn byte_table<L: ByteLanes>(self, l: L) -> L::Bytes {
        l.splat_u8(128)
    }

    #[inline(always)]
    fn bytes<L: ByteLanes, const Q: usize, const W: usize>(
        l: L,
        signs: L::Bytes,
        codes: &[Self::Codes],
    ) -> [[L::Bytes; W]; Q] {
        [[l.xor_bytes(l.load_rows(from_fn(|i| &codes[i])), signs); W]; Q]
    }
}

impl DecodeBytes for Int5<'_> {
    const LIMBS: usize = 1;
    const STEP: usize = 1;
    const EVEN_FIRST: bool = true;
    type ByteTable<L: ByteLanes> = L::Bytes;

    fn offset(self) -> i32 {
        16
    }

    #[inline(always)]
    fn byte_table<L: ByteLanes>(self, l: L) -> L::Bytes {
        l.splat_u8(16)
    }

    #[inline(always)]
    fn bytes<L: ByteLanes, const Q: usize, const W: usize>(
        l: L,
        signs: L::Bytes,
        codes: &[Self::Codes],
    ) -> [[L::Bytes; W]; Q] {
        let [low @ .., high] = &codes[0];
        let low = l.nibbles(l.load_rows(low.each_ref()));
        let high = l.load_rows([high; 4]);
        let bits = [[1 << 7, 1 << 5, 1 << 3, 1 << 1], [1 << 6, 1 << 4, 1 << 2, 1 << 0]];
        from_fn(|quad| {
            let code = l.or_bytes(low[quad], l.where_bits(high, bits[quad], 16));
            [l.xor_bytes(code, signs); W]
        })
    }
}

impl DecodeBytes for Int6<'_> {
    const LIMBS: usize = 1;
    const STEP: usize = 2;
    const EVEN_FIRST: bool = true;
    type ByteTable<L: ByteLanes> = L::Bytes;

    fn offset(self) -> i32 {
        32
    }

    #[inline(always)]
    fn byte_table<L: ByteLanes>(self, l: L) -> L::Bytes {
        l.splat_u8(32)
    }

    #[inline(always)]
    fn bytes<L: ByteLanes, const Q: usize, const W: usize>(
        l: L,
        signs: L::Bytes,
        codes: &[Self::Codes],
    ) -> [[L::Bytes; W]; Q] {
        let [[a, b, high], [c, d, next_high]] = [&codes[0], &codes[1]];
        let low = l.nibbles(l.load_rows([a, b, c, d]));
        let high = l.load_rows([high, high, next_high, next_high]);
        let bits = [[1 << 6, 1 << 2, 1 << 6, 1 << 2], [1 << 4, 1 << 0, 1 << 4, 1 << 0]];
        from_fn(|quad| {
            let code = l.or_bytes(low[quad], l.where_bits(high, bits[quad], 16));
            let code = l.or_bytes(code, l.where_bits(high, bits[quad].map(|bit| bit << 1), 32));
            [l.xor_bytes(code, signs); W]
        })
    }
}

/// A block of a token in bytes.
struct ByteBlock {
    /// The low bytes of four columns, and the high ones.
    quads: [[[i8; 4]; 2]; QUADS],
}

/// Vectors of four columns in a block.
const QUADS: usize = BLOCK / 4;

/// Where the decoded byte of a column of a block lies, four of each vector side by side.
#[inline(always)]
pub(super) const fn place(column: usize, even_first: bool) -> usize {
    if even_first { column / 8 * 8 + column % 2 * 4 + column % 8 / 2 } else { column }
}

/// `x = 128 · high + low`.
#[inline(always)]
pub(super) fn split(x: i16) -> [i8; 2] {
    let high = (x + (1 << (LOW_BITS - 1))) >> LOW_BITS;
    [(x - (high << LOW_BITS)) as i8, high as i8]
}

/// What to add to the sums of a block so that words lose their offset.
#[inline(always)]
pub(super) fn correction(offset: i32, x: &Factors) -> i32 {
    offset.wrapping_neg().wrapping_mul(x.sum as i32)
}

/// The sum of words and inputs from the sums of bytes `[limb][low, high]`.
#[inline(always)]
pub(super) fn sum_of_words<L: ByteLanes, const W: usize>(
    l: L,
    sums: [[L::Sums; 2]; W],
    correction: i32,
) -> L::Sums {
    let mut sum = l.splat_i32(correction);
    let limbs = sums.map(|[low, high]| l.shift_and_add::<LOW_BITS>(high, low));
    if W > 1 {
        sum = l.shift_and_add::<SHIFT>(limbs[W - 1], sum);
    }
    l.shift_and_add::<0>(limbs[0], sum)
}

/// The inputs of one token in bytes.
pub(super) struct Bytes<'a> {
    blocks: Vec<ByteBlock>,
    x: &'a Activations,
}

impl<'a> Bytes<'a> {
    /// Splits the words of the only token.
    pub(super) fn new(x: &'a Activations, even_first: bool) -> Bytes<'a> {
        let split = |index: usize| {
            let mut block = ByteBlock { quads: [[[0; 4]; 2]; QUADS] };
            let words: &[i16; BLOCK] = bytemuck::cast_ref(&x.words::<1>(index, 0)[0].0);
            for (column, &x) in words.iter().enumerate() {
                let place = place(column, even_first);
                let [low, high] = split(x);
                block.quads[place / 4][0][place % 4] = low;
                block.quads[place / 4][1][place % 4] = high;
            }
            block
        };
        Bytes { blocks: (0..x.blocks).map(split).collect(), x }
    }
}

/// The sums of some tiles for one token.
pub(super) struct DirectBytes<'a, D: DecodeBytes> {
    pub(super) weight: &'a Weight<'a, D>,
    pub(super) x: &'a Bytes<'a>,
    pub(super) tiles: Range<usize>,
    /// Result `[tiles]`.
    pub(super) totals: &'a mut [[f32; LANES]],
}

impl<D: DecodeBytes> ByteJob for DirectBytes<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<L: ByteLanes>(self, l: L) {
        match (D::QUADS, D::LIMBS) {
            (2, 2) => self.quads::<L, 2, 2>(l),
            (2, _) => self.quads::<L, 2, 1>(l),
            _ => self.quads::<L, 1, 1>(l),
        }
    }
}

impl<D: DecodeBytes> DirectBytes<'_, D> {
    #[inline(always)]
    fn quads<L: ByteLanes, const Q: usize, const W: usize>(self, l: L) {
        const R: usize = 4;
        for first in (0..self.tiles.len()).step_by(R) {
            // Beyond the end the last tile is summed again and dropped.
            let tiles: [usize; R] = from_fn(|r| self.tiles.start + (first + r).min(self.tiles.len() - 1));
            let totals = totals::<L, D, R, Q, W>(l, self.weight, tiles, self.x);
            for (total, to) in totals.into_iter().zip(&mut self.totals[first..]) {
                l.store(total, to);
            }
        }
    }
}

/// `Σ_blocks scale · Σ_columns word · x` for each tile.
#[inline(always)]
fn totals<L: ByteLanes, D: DecodeBytes, const R: usize, const Q: usize, const W: usize>(
    l: L,
    weight: &Weight<'_, D>,
    tiles: [usize; R],
    x: &Bytes<'_>,
) -> [L::F; R] {
    let mut totals = [l.splat(0.0); R];
    let mut states = tiles.map(|tile| weight.decoder.tile(tile));
    let table = weight.decoder.byte_table(l);
    let offset = weight.decoder.offset();
    for (index, bytes) in x.blocks.iter().enumerate() {
        let codes = tiles.map(|tile| weight.codes(tile, index * BLOCK, BLOCK));
        let mut sums = [[[l.splat_i32(0); 2]; W]; R];
        for (step, quads) in bytes.quads.as_chunks::<Q>().0.iter().enumerate() {
            for r in 0..R {
                let weights = D::bytes::<L, Q, W>(l, table, &codes[r][step * D::STEP..][..D::STEP]);
                for q in 0..Q {
                    for w in 0..W {
                        for part in 0..2 {
                            sums[r][w][part] =
                                l.add_byte_dots(sums[r][w][part], weights[q][w], quads[q][part]);
                        }
                    }
                }
            }
        }
        let [factors] = x.x.factors(index, 0);
        for r in 0..R {
            let sum = sum_of_words(l, sums[r], correction(offset, factors));
            let (scale, state) = weight.decoder.block(l, &mut states[r], index);
            totals[r] = add_block::<L, D>(l, totals[r], sum, (scale, &state), factors);
        }
    }
    totals
}
