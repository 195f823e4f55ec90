//! Inputs of a linear rounded to integers, block by block.

use super::super::decode::BLOCK;
use crate::{
    parallel::for_each_of,
    simd::{self, Job, LANES, Lanes, Width},
};

/// The largest magnitude of a rounded input: 127 · 128, so that its two halves of 7 bits fit signed bytes, and 64
/// products with words of 11 bits do not overflow 32 bits.
pub(super) const LARGEST: i32 = 127 * 128;

/// Below this a block's largest magnitude counts as zero: its reciprocal times [`LARGEST`] would be infinite.
const SMALLEST: f32 = 1e-30;

/// What rounding a value counts for.
pub(super) const ROUNDING_WORK: usize = 8;

/// Pairs of columns of a block.
pub(super) const PAIRS: usize = BLOCK / 2;

/// The integers of a block of 64 columns of one token, two by two. Columns beyond the end are zero.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Words(pub(super) [[i16; 2]; PAIRS]);

/// What the sums over a block of one token are to be corrected by.
#[derive(Clone, Copy, Default)]
pub(super) struct Factors {
    /// What the integers are to be multiplied by; NaN where an input is not finite.
    pub(super) scale: f32,
    /// The sum of the integers, below 2²⁴ and so exact.
    pub(super) sum: f32,
}

/// Rounded inputs `[blocks, tokens]`.
pub(super) struct Activations {
    pub(super) tokens: usize,
    /// Blocks of a token.
    pub(super) blocks: usize,
    words: Vec<Words>,
    factors: Vec<Factors>,
}

impl Activations {
    /// Rounds `x` of `[tokens, cols]` to the nearest of `LARGEST` steps in either direction of each block's largest
    /// magnitude, ties to even.
    pub(super) fn new(width: Width, x: &[f32], cols: usize) -> Activations {
        let (tokens, blocks) = (x.len() / cols, cols.div_ceil(BLOCK));
        let mut words = vec![Words([[0; 2]; PAIRS]); blocks * tokens];
        let mut factors = vec![Factors::default(); blocks * tokens];
        let mut of_blocks: Vec<_> = words.chunks_mut(tokens).zip(factors.chunks_mut(tokens)).collect();
        for_each_of(&mut of_blocks, x.len() * ROUNDING_WORK, |index, (words, factors)| {
            let columns = index * BLOCK..cols.min((index + 1) * BLOCK);
            for ((row, words), factors) in x.chunks_exact(cols).zip(&mut **words).zip(&mut **factors) {
                (*words, *factors) = simd::run(width, Round(&row[columns.clone()]));
            }
        });
        Activations { tokens, blocks, words, factors }
    }

    /// The integers of a block of `T` tokens from `token` on.
    #[inline(always)]
    pub(super) fn words<const T: usize>(&self, index: usize, token: usize) -> &[Words; T] {
        let tokens = &self.words[index * self.tokens + token..][..T];
        tokens.try_into().expect("a slice of T")
    }

    /// The factors of a block of `T` tokens from `token` on.
    #[inline(always)]
    pub(super) fn factors<const T: usize>(&self, index: usize, token: usize) -> &[Factors; T] {
        let tokens = &self.factors[index * self.tokens + token..][..T];
        tokens.try_into().expect("a slice of T")
    }
}

/// Rounds one block.
struct Round<'a>(&'a [f32]);

impl Job for Round<'_> {
    type Output = (Words, Factors);

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> (Words, Factors) {
        round(l, self.0)
    }
}

/// Rounds at most a block of inputs.
#[inline(always)]
pub(super) fn round<L: Lanes>(l: L, x: &[f32]) -> (Words, Factors) {
    let mut block = [0.0; BLOCK];
    block[..x.len()].copy_from_slice(x);
    let vectors = block.as_chunks::<LANES>().0;
    let (mut largest, mut zeros) = (l.splat(0.0), l.splat(0.0));
    for v in vectors {
        let v = l.load(v);
        largest = l.max(largest, l.max(v, l.sub(l.splat(0.0), v)));
        // Anything finite times zero is zero.
        zeros = l.mul_add(v, l.splat(0.0), zeros);
    }
    let largest = simd::largest(l, largest);
    let mut words = [0_i16; BLOCK];
    let mut factors = Factors { scale: 0.0, sum: 0.0 };
    if simd::sum(l, zeros) != 0.0 {
        factors.scale = f32::NAN;
    } else if largest >= SMALLEST {
        factors.scale = largest / LARGEST as f32;
        let steps = l.splat(LARGEST as f32 / largest);
        for (v, words) in vectors.iter().zip(words.as_chunks_mut::<LANES>().0) {
            let mut shifted = [0.0; LANES];
            l.store(l.add(l.mul(l.load(v), steps), l.splat(SHIFT)), &mut shifted);
            for (word, shifted) in words.iter_mut().zip(shifted) {
                *word = shifted.to_bits() as i16;
            }
        }
        factors.sum = words.iter().map(|&word| i32::from(word)).sum::<i32>() as f32;
    }
    (Words(bytemuck::cast(words)), factors)
}

/// Adding this rounds to a whole number, ties to even, which is then in the low bits.
const SHIFT: f32 = 12_582_912.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(x: &[f32]) -> ([[i16; 2]; PAIRS], Factors) {
        let (Words(pairs), factors) = simd::run(Width::Portable, Round(x));
        for width in Width::ALL.into_iter().filter(|width| width.available()) {
            let (words, other) = simd::run(width, Round(x));
            assert_eq!((words.0, other.sum), (pairs, factors.sum), "{width:?}");
            assert_eq!(other.scale.to_bits(), factors.scale.to_bits(), "{width:?}");
        }
        (pairs, factors)
    }

    #[test]
    fn the_largest_takes_all_steps_and_the_others_the_nearest() {
        let x: Vec<f32> = (0..64).map(|i| (i as f32 - 40.0) * 0.37).collect();
        let (pairs, factors) = rounded(&x);
        let words: [i16; 64] = bytemuck::cast(pairs);
        assert_eq!(words[0], -(LARGEST as i16));
        assert_eq!(factors.sum, words.iter().map(|&w| f32::from(w)).sum::<f32>());
        for (x, word) in x.iter().zip(words) {
            assert!((x - f32::from(word) * factors.scale).abs() <= 0.501 * factors.scale, "{x} as {word}");
        }
    }

    #[test]
    fn short_blocks_are_filled_up_with_zeros() {
        let (pairs, _) = rounded(&[1.0, -0.5, 0.25]);
        assert_eq!(pairs[..3], [[16256, -8128], [4064, 0], [0, 0]]);
    }

    #[test]
    fn nothing_and_nearly_nothing_is_zero_and_what_is_not_finite_stays_so() {
        for x in [0.0, -0.0, 1e-31, f32::MIN_POSITIVE / 4.0] {
            let (pairs, factors) = rounded(&[x; 64]);
            assert_eq!((pairs, factors.scale), ([[0; 2]; PAIRS], 0.0), "{x}");
        }
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(rounded(&[1.0, x]).1.scale.is_nan(), "{x}");
        }
        assert_eq!(rounded(&[f32::MAX]).0[0], [LARGEST as i16, 0]);
    }
}
