//! Weights as bytes, which take half as many instructions to decode as words, and their products with few tokens.
//!
//! An input is split into two signed bytes, `x = 128 · high + low`, and a word of nf4 or fp4 into two unsigned ones. The
//! sums of their products, shifted into place and added up, are the exact sum that the words give.

use super::{
    super::decode::{BLOCK, Float4, Int4, Int5, Int6, Int8, Weight, prefetch},
    activations::Activations,
    decode::DecodeWords,
    direct::add_block,
};
use crate::simd::{ByteJob, ByteLanes, LANES};
use bytemuck::Pod;
use std::{array::from_fn, ops::Range};

/// Bits of the lower byte of an input and of a word.
pub(super) const LOW_BITS: u32 = 7;

/// Decodes one format into bytes without a sign.
pub(super) trait DecodeBytes: DecodeWords {
    /// The codes of 16 rows in a block, step by step.
    type BlockCodes: Pod + Sync;
    /// How many bytes make a word: `Σ byte[i] · 2^(LOW_BITS · i)`, less the offset.
    const LIMBS: usize;
    /// Vectors of four columns that are decoded in a step.
    const QUADS: usize;
    /// Whether the even columns of eight come before the odd ones.
    const EVEN_FIRST: bool;
    /// What is decoded with.
    type ByteTable<L: ByteLanes>: Copy;

    /// How much larger words are than values in units of [`DecodeWords::unit`].
    fn offset(self) -> i32;
    /// Puts into registers what is decoded with.
    fn byte_table<L: ByteLanes>(self, l: L) -> Self::ByteTable<L>;
    /// `[quad][limb]` of a step.
    fn bytes<L: ByteLanes, const Q: usize, const W: usize>(
        l: L,
        table: Self::ByteTable<L>,
        codes: &Self::BlockCodes,
        step: usize,
    ) -> [[L::Bytes; W]; Q];
}

/// The codes of a block of a tile, whose number is known, so that nothing is checked within.
#[inline(always)]
pub(super) fn block_codes<'a, D: DecodeBytes>(
    weight: &Weight<'a, D>,
    tile: usize,
    index: usize,
) -> &'a D::BlockCodes {
    &bytemuck::cast_slice(weight.codes(tile, index * BLOCK, BLOCK))[0]
}

/// Makes words of nf4 and fp4 positive, in 12 bits.
const FLOAT4_OFFSET: i32 = 2048;

impl DecodeBytes for Float4<'_> {
    type BlockCodes = [[[u8; LANES]; 4]; 8];
    const LIMBS: usize = 2;
    const QUADS: usize = 2;
    const EVEN_FIRST: bool = true;
    type ByteTable<L: ByteLanes> = [L::Bytes; 2];

    fn offset(self) -> i32 {
        FLOAT4_OFFSET
    }

    #[inline(always)]
    fn byte_table<L: ByteLanes>(self, l: L) -> [L::Bytes; 2] {
        let words = self.steps().map(|step| i32::from(step) + FLOAT4_OFFSET);
        let low = words.map(|word| word as u8 & ((1 << LOW_BITS) - 1));
        [l.byte_table(&low), l.byte_table(&words.map(|word| (word >> LOW_BITS) as u8))]
    }

    #[inline(always)]
    fn bytes<L: ByteLanes, const Q: usize, const W: usize>(
        l: L,
        table: [L::Bytes; 2],
        codes: &Self::BlockCodes,
        step: usize,
    ) -> [[L::Bytes; W]; Q] {
        let nibbles = l.nibbles(l.load_step(&codes[step]));
        from_fn(|quad| from_fn(|limb| l.lookup_bytes(table[limb], nibbles[quad])))
    }
}

impl DecodeBytes for Int4<'_> {
    type BlockCodes = [[[u8; LANES]; 4]; 8];
    const LIMBS: usize = 1;
    const QUADS: usize = 2;
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
        codes: &Self::BlockCodes,
        step: usize,
    ) -> [[L::Bytes; W]; Q] {
        let nibbles = l.nibbles(l.xor_bytes(l.load_step(&codes[step]), signs));
        from_fn(|quad| [nibbles[quad]; W])
    }
}

impl DecodeBytes for Int8 {
    type BlockCodes = [[[u8; LANES]; 4]; 16];
    const LIMBS: usize = 1;
    const QUADS: usize = 1;
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
        codes: &Self::BlockCodes,
        step: usize,
    ) -> [[L::Bytes; W]; Q] {
        [[l.xor_bytes(l.load_step(&codes[step]), signs); W]; Q]
    }
}

impl DecodeBytes for Int5<'_> {
    type BlockCodes = [[[u8; LANES]; 5]; 8];
    const LIMBS: usize = 1;
    const QUADS: usize = 2;
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
        codes: &Self::BlockCodes,
        step: usize,
    ) -> [[L::Bytes; W]; Q] {
        let [low @ .., high] = &codes[step];
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
    type BlockCodes = [[[[u8; LANES]; 3]; 2]; 8];
    const LIMBS: usize = 1;
    const QUADS: usize = 2;
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
        codes: &Self::BlockCodes,
        step: usize,
    ) -> [[L::Bytes; W]; Q] {
        let [[a, b, high], [c, d, next_high]] = &codes[step];
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

/// The sum of words and inputs from the sums of bytes: those of products that count for `2^(LOW_BITS · i)`.
#[inline(always)]
pub(super) fn sum_of_words<L: ByteLanes, const S: usize>(l: L, sums: [L::Sums; S]) -> L::Sums {
    let mut sum = sums[S - 1];
    for i in (0..S - 1).rev() {
        sum = l.shift_and_add::<LOW_BITS>(sum, sums[i]);
    }
    sum
}

/// Rounded inputs in bytes.
pub(super) struct Bytes<'a> {
    /// `[blocks, tokens]`.
    blocks: Vec<ByteBlock>,
    x: &'a Activations,
}

impl<'a> Bytes<'a> {
    /// Splits the words of all tokens.
    pub(super) fn new(x: &'a Activations, even_first: bool) -> Bytes<'a> {
        let split = |at: usize| {
            let mut block = ByteBlock { quads: [[[0; 4]; 2]; QUADS] };
            let words: &[i16; BLOCK] = bytemuck::cast_ref(&x.words::<1>(at / x.tokens, at % x.tokens)[0].0);
            for (column, &x) in words.iter().enumerate() {
                let place = place(column, even_first);
                let [low, high] = split(x);
                block.quads[place / 4][0][place % 4] = low;
                block.quads[place / 4][1][place % 4] = high;
            }
            block
        };
        Bytes { blocks: (0..x.blocks * x.tokens).map(split).collect(), x }
    }

    /// A block of `T` tokens from `token` on.
    #[inline(always)]
    fn block<const T: usize>(&self, index: usize, token: usize) -> &[ByteBlock; T] {
        let tokens = &self.blocks[index * self.x.tokens + token..][..T];
        tokens.try_into().expect("a slice of T")
    }
}

/// The sums of some tiles for few tokens.
pub(super) struct DirectBytes<'a, D: DecodeBytes> {
    pub(super) weight: &'a Weight<'a, D>,
    pub(super) x: &'a Bytes<'a>,
    pub(super) tiles: Range<usize>,
    /// Result `[tiles, tokens]`.
    pub(super) totals: &'a mut [[f32; LANES]],
}

impl<D: DecodeBytes> ByteJob for DirectBytes<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<L: ByteLanes>(self, l: L) {
        match (D::QUADS, D::LIMBS) {
            (2, 2) => self.all_tokens::<L, 2, 2, 3>(l),
            (2, _) => self.all_tokens::<L, 2, 1, 2>(l),
            _ => self.all_tokens::<L, 1, 1, 2>(l),
        }
    }
}

impl<D: DecodeBytes> DirectBytes<'_, D> {
    /// `Q` vectors of four columns in a step, whose words are `W` bytes, so that products count for `S` powers. The fewer
    /// tokens, the more tiles go side by side: always four pairs of them, whose sums fit into registers.
    #[inline(always)]
    fn all_tokens<L: ByteLanes, const Q: usize, const W: usize, const S: usize>(mut self, l: L) {
        let tokens = self.x.x.tokens;
        let mut token = 0;
        while token < tokens {
            token += match tokens - token {
                2.. => self.tokens::<L, 2, 2, Q, W, S>(l, token),
                _ => self.tokens::<L, 1, 4, Q, W, S>(l, token),
            };
        }
    }

    /// Sums `T` tokens, `R` tiles at a time, and returns `T`.
    #[inline(always)]
    fn tokens<
        L: ByteLanes,
        const T: usize,
        const R: usize,
        const Q: usize,
        const W: usize,
        const S: usize,
    >(
        &mut self,
        l: L,
        token: usize,
    ) -> usize {
        let tiles = self.tiles.len();
        for first in (0..tiles).step_by(R) {
            // Beyond the end the last tile is summed again and dropped.
            let side_by_side: [usize; R] = from_fn(|r| self.tiles.start + (first + r).min(tiles - 1));
            let totals = totals::<L, D, T, R, Q, W, S>(l, self.weight, side_by_side, (self.x, token));
            for (token, totals) in (token..).zip(totals) {
                for (r, total) in totals.into_iter().enumerate().take(tiles - first) {
                    l.store(total, &mut self.totals[(first + r) * self.x.x.tokens + token]);
                }
            }
        }
        T
    }
}

/// `Σ_blocks scale · Σ_columns word · x` for each token and tile.
#[inline(always)]
fn totals<
    L: ByteLanes,
    D: DecodeBytes,
    const T: usize,
    const R: usize,
    const Q: usize,
    const W: usize,
    const S: usize,
>(
    l: L,
    weight: &Weight<'_, D>,
    tiles: [usize; R],
    (x, token): (&Bytes<'_>, usize),
) -> [[L::F; R]; T] {
    let mut totals = [[l.splat(0.0); R]; T];
    let mut states = tiles.map(|tile| weight.decoder.tile(tile));
    let table = weight.decoder.byte_table(l);
    let offset = weight.decoder.offset();
    for index in 0..x.x.blocks {
        let codes = tiles.map(|tile| block_codes(weight, tile, index));
        codes.into_iter().for_each(|codes| prefetch(l, codes));
        let (bytes, factors) = (x.block::<T>(index, token), x.x.factors::<T>(index, token));
        let mut sums = [[[l.splat_i32(0); S]; R]; T];
        for (sums, factors) in sums.iter_mut().zip(factors) {
            // Takes off what bytes are larger by, in words whose overflow wraps around.
            let correction = l.splat_i32(offset.wrapping_neg().wrapping_mul(factors.sum as i32));
            sums.iter_mut().for_each(|sums| sums[0] = correction);
        }
        for step in 0..QUADS / Q {
            for r in 0..R {
                let weights = D::bytes::<L, Q, W>(l, table, codes[r], step);
                for (sums, bytes) in sums.iter_mut().zip(bytes) {
                    for (q, limbs) in weights.iter().enumerate() {
                        for (w, limb) in limbs.iter().enumerate() {
                            for (part, x) in bytes.quads[step * Q + q].into_iter().enumerate() {
                                let sum = &mut sums[r][w + part];
                                *sum = l.add_byte_dots(*sum, *limb, x);
                            }
                        }
                    }
                }
            }
        }
        for r in 0..R {
            let (scale, state) = weight.decoder.block(l, &mut states[r], index);
            for t in 0..T {
                let sum = sum_of_words(l, sums[t][r]);
                totals[t][r] = add_block::<L, D>(l, totals[t][r], sum, (scale, &state), &factors[t]);
            }
        }
    }
    totals
}
