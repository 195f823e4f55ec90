//! Inputs of a linear rounded to integers, block by block.

use super::super::decode::BLOCK;
use crate::simd::{self, Job, LANES, Lanes, Width};
use rayon::prelude::*;

/// The largest magnitude of a rounded input: 127 · 128, so that its two halves of 7 bits fit signed bytes, and 64
/// products with words of 11 bits do not overflow 32 bits.
pub(super) const LARGEST: i32 = 127 * 128;

/// Below this a block's largest magnitude counts as zero: its reciprocal times [`LARGEST`] would be infinite.
const SMALLEST: f32 = 1e-30;

/// Fewer values are rounded before another thread is awake.
const WORTH_SHARING: usize = 1 << 15;

/// Pairs of columns of a block.
pub(super) const PAIRS: usize = BLOCK / 2;

/// A block of 64 columns of one token. Columns beyond the end are zero.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) pairs: [[i16; 2]; PAIRS],
    /// What the integers are to be multiplied by; NaN where an input is not finite.
    pub(super) scale: f32,
    /// The sum of the integers.
    pub(super) sum: i32,
}

/// Rounded inputs `[blocks, tokens]`.
pub(super) struct Activations {
    pub(super) tokens: usize,
    /// Blocks of a token.
    pub(super) blocks: usize,
    rounded: Vec<Block>,
}

impl Activations {
    /// Rounds `x` of `[tokens, cols]` to the nearest of `LARGEST` steps in either direction of each block's largest
    /// magnitude, ties to even.
    pub(super) fn new(width: Width, x: &[f32], cols: usize) -> Activations {
        let (tokens, blocks) = (x.len() / cols, cols.div_ceil(BLOCK));
        let round = |index: usize| {
            let columns = index * BLOCK..cols.min((index + 1) * BLOCK);
            let rows = x.chunks_exact(cols);
            rows.map(move |row| simd::run(width, Round(&row[columns.clone()])))
        };
        let rounded = if x.len() < WORTH_SHARING {
            (0..blocks).flat_map(round).collect()
        } else {
            (0..blocks).into_par_iter().flat_map_iter(round).collect()
        };
        Activations { tokens, blocks, rounded }
    }

    /// A block of `T` tokens from `token` on.
    #[inline(always)]
    pub(super) fn block<const T: usize>(&self, index: usize, token: usize) -> &[Block; T] {
        let tokens = &self.rounded[index * self.tokens + token..][..T];
        tokens.try_into().expect("a slice of T")
    }
}

/// Rounds one block.
struct Round<'a>(&'a [f32]);

impl Job for Round<'_> {
    type Output = Block;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Block {
        let mut x = [0.0; BLOCK];
        x[..self.0.len()].copy_from_slice(self.0);
        let vectors = x.as_chunks::<LANES>().0;
        let mut largest = l.splat(0.0);
        for v in vectors {
            let v = l.load(v);
            largest = l.max(largest, l.max(v, l.sub(l.splat(0.0), v)));
        }
        let largest = simd::largest(l, largest);
        let finite = x.iter().fold(true, |finite, x| finite & x.is_finite());
        let mut block = Block { pairs: [[0; 2]; PAIRS], scale: 0.0, sum: 0 };
        if !finite {
            block.scale = f32::NAN;
        } else if largest >= SMALLEST {
            block.scale = largest / LARGEST as f32;
            let steps = l.splat(LARGEST as f32 / largest);
            let words: &mut [i16; BLOCK] = bytemuck::cast_mut(&mut block.pairs);
            for (v, words) in vectors.iter().zip(words.as_chunks_mut::<LANES>().0) {
                let mut shifted = [0.0; LANES];
                l.store(l.add(l.mul(l.load(v), steps), l.splat(SHIFT)), &mut shifted);
                for (word, shifted) in words.iter_mut().zip(shifted) {
                    *word = shifted.to_bits() as i16;
                }
            }
            block.sum = words.iter().map(|&word| i32::from(word)).sum();
        }
        block
    }
}

/// Adding this rounds to a whole number, ties to even, which is then in the low bits.
const SHIFT: f32 = 12_582_912.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(x: &[f32]) -> Block {
        let block = simd::run(Width::Portable, Round(x));
        for width in Width::ALL.into_iter().filter(|width| width.available()) {
            let other = simd::run(width, Round(x));
            assert_eq!((other.pairs, other.sum), (block.pairs, block.sum), "{width:?}");
            assert_eq!(other.scale.to_bits(), block.scale.to_bits(), "{width:?}");
        }
        block
    }

    #[test]
    fn the_largest_takes_all_steps_and_the_others_the_nearest() {
        let x: Vec<f32> = (0..64).map(|i| (i as f32 - 40.0) * 0.37).collect();
        let block = rounded(&x);
        let words: [i16; 64] = bytemuck::cast(block.pairs);
        assert_eq!(words[0], -(LARGEST as i16));
        assert_eq!(block.sum, words.iter().map(|&w| i32::from(w)).sum::<i32>());
        for (x, word) in x.iter().zip(words) {
            assert!((x - f32::from(word) * block.scale).abs() <= 0.501 * block.scale, "{x} as {word}");
        }
    }

    #[test]
    fn short_blocks_are_filled_up_with_zeros() {
        let block = rounded(&[1.0, -0.5, 0.25]);
        assert_eq!(block.pairs[..3], [[16256, -8128], [4064, 0], [0, 0]]);
    }

    #[test]
    fn nothing_and_nearly_nothing_is_zero_and_what_is_not_finite_stays_so() {
        for x in [0.0, -0.0, 1e-31, f32::MIN_POSITIVE / 4.0] {
            let block = rounded(&[x; 64]);
            assert_eq!((block.pairs, block.scale), ([[0; 2]; PAIRS], 0.0), "{x}");
        }
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(rounded(&[1.0, x]).scale.is_nan(), "{x}");
        }
        assert_eq!(rounded(&[f32::MAX]).pairs[0], [LARGEST as i16, 0]);
    }
}
