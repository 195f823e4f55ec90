//! Codes as words, for each family of formats whose values are integers times a scale.

use super::super::decode::{Decode, Float4, Int4, Int5, Int6, Int8};
use crate::{
    format::{NF4, codes_in_run},
    simd::{IntegerLanes, LANES, Lanes},
};

/// Decodes one format into words.
pub(super) trait DecodeWords: Decode {
    /// What is decoded with.
    type Table<L: IntegerLanes>: Copy;
    /// The words of [`DecodeWords::COLUMNS`] columns, two by two.
    type Words<L: IntegerLanes>: IntoIterator<Item = L::Words>;
    /// Elements of [`Decode::Codes`] that are decoded at a time.
    const CODES: usize;
    /// Columns that are decoded at a time, an even number.
    const COLUMNS: usize = Self::CODES * <Self as Decode>::COLUMNS;

    /// Values times this are integers.
    fn unit(self) -> f32;
    /// Puts into registers what is decoded with.
    fn table<L: IntegerLanes>(self, l: L) -> Self::Table<L>;
    /// The words of `CODES` codes.
    fn words<L: IntegerLanes>(l: L, table: Self::Table<L>, codes: &[Self::Codes]) -> Self::Words<L>;
    /// What is to be taken off from each word of a block.
    #[inline(always)]
    fn zero_point<L: Lanes>(_block: &Self::Block<L>) -> Option<L::F> {
        None
    }
}

/// nf4's levels are rounded to so many steps from zero to one, fp4's are whole numbers of 192ds.
const NF4_STEPS: f32 = 2047.0;
const FP4_STEPS: f32 = 192.0;
const _: () = assert!(super::activations::LARGEST as i64 * 64 * NF4_STEPS as i64 <= i32::MAX as i64);

impl Float4<'_> {
    /// The value of every code in whole steps.
    pub(super) fn steps(&self) -> [i16; LANES] {
        let steps = self.unit();
        self.table.map(|level| (level * steps).round_ties_even() as i16)
    }
}

impl DecodeWords for Float4<'_> {
    type Table<L: IntegerLanes> = L::WordTable;
    type Words<L: IntegerLanes> = [L::Words; 1];
    const CODES: usize = 1;

    fn unit(self) -> f32 {
        if *self.table == NF4 { NF4_STEPS } else { FP4_STEPS }
    }

    #[inline(always)]
    fn table<L: IntegerLanes>(self, l: L) -> L::WordTable {
        l.word_table(&self.steps())
    }

    #[inline(always)]
    fn words<L: IntegerLanes>(l: L, table: L::WordTable, codes: &[[u8; LANES]]) -> [L::Words; 1] {
        [l.lookup_words(table, &codes[0])]
    }
}

impl DecodeWords for Int4<'_> {
    type Table<L: IntegerLanes> = L::WordTable;
    type Words<L: IntegerLanes> = [L::Words; 1];
    const CODES: usize = 1;

    fn unit(self) -> f32 {
        1.0
    }

    #[inline(always)]
    fn table<L: IntegerLanes>(self, l: L) -> L::WordTable {
        l.word_table(&self.table.map(|value| value as i16))
    }

    #[inline(always)]
    fn words<L: IntegerLanes>(l: L, table: L::WordTable, codes: &[[u8; LANES]]) -> [L::Words; 1] {
        [l.lookup_words(table, &codes[0])]
    }

    #[inline(always)]
    fn zero_point<L: Lanes>(&(_, zero_point): &Self::Block<L>) -> Option<L::F> {
        Some(zero_point)
    }
}

impl DecodeWords for Int8 {
    type Table<L: IntegerLanes> = ();
    type Words<L: IntegerLanes> = [L::Words; 1];
    const CODES: usize = 2;

    fn unit(self) -> f32 {
        1.0
    }

    #[inline(always)]
    fn table<L: IntegerLanes>(self, _: L) {}

    #[inline(always)]
    fn words<L: IntegerLanes>(l: L, (): (), codes: &[[u8; LANES]]) -> [L::Words; 1] {
        [l.pair_bytes(&[codes[0], codes[1]])]
    }
}

/// The codes of two columns of a run that lie in the same bytes.
#[inline(always)]
fn columns<const BITS: usize, const BYTES: usize>(
    run: &[[u8; LANES]; BYTES],
    pair: usize,
) -> [[u8; LANES]; 2] {
    [0, 1].map(|i| codes_in_run::<BITS>(&run[pair], &run[BYTES - 1], 2 * pair + i))
}

/// A decoder of codes in runs.
macro_rules! runs {
    ($name:ident, $bits:literal, $pairs:literal, $bytes:literal) => {
        impl DecodeWords for $name<'_> {
            type Table<L: IntegerLanes> = ();
            type Words<L: IntegerLanes> = [L::Words; $pairs];
            const CODES: usize = 1;

            fn unit(self) -> f32 {
                1.0
            }

            #[inline(always)]
            fn table<L: IntegerLanes>(self, _: L) {}

            #[inline(always)]
            fn words<L: IntegerLanes>(l: L, (): (), codes: &[Self::Codes]) -> [L::Words; $pairs] {
                // No closure, which would not be compiled for the vectors of `L`.
                let mut words = [l.pair_bytes(&columns::<$bits, $bytes>(&codes[0], 0)); $pairs];
                for (pair, words) in words.iter_mut().enumerate().skip(1) {
                    *words = l.pair_bytes(&columns::<$bits, $bytes>(&codes[0], pair));
                }
                words
            }
        }
    };
}

runs!(Int5, 5, 4, 5);
runs!(Int6, 6, 2, 3);
