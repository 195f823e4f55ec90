//! Whole numbers in sixteen lanes: pairs of 16-bit words whose products add up in 32 bits.
//!
//! Sums of integers that do not overflow are exact, so every instruction set gives the same bits here too.

use super::lanes::{LANES, Lanes};

/// What a vector of 16 lanes can do with integers. A value of the implementing type proves that the machine has the
/// instructions.
pub(crate) trait IntegerLanes: Lanes {
    /// Sixteen sums of 32 bits.
    type Sums: Copy;
    /// Sixteen pairs of 16-bit words.
    type Words: Copy;
    /// A table of 16 words in registers.
    type WordTable: Copy;

    /// The same number in each lane.
    fn splat_i32(self, x: i32) -> Self::Sums;
    /// Puts a table into registers.
    fn word_table(self, table: &[i16; LANES]) -> Self::WordTable;
    /// The table's entries at the high nibble of each byte, beside those at its low nibble.
    fn lookup_words(self, table: Self::WordTable, codes: &[u8; LANES]) -> Self::Words;
    /// Signed bytes, each beside its neighbour in the other vector.
    fn pair_bytes(self, of: &[[u8; LANES]; 2]) -> Self::Words;
    /// Reads 16 pairs.
    fn load_words(self, from: &[[i16; 2]; LANES]) -> Self::Words;
    /// Writes 16 pairs.
    fn store_words(self, words: Self::Words, to: &mut [[i16; 2]; LANES]);
    /// `sums + words[0] · x[0] + words[1] · x[1]`.
    fn add_dots(self, sums: Self::Sums, words: Self::Words, x: [i16; 2]) -> Self::Sums;
    /// The nearest f32.
    fn sums_to_f32(self, sums: Self::Sums) -> Self::F;
}

/// A computation over integers at any width. `run` and all that it calls must be `#[inline(always)]`.
pub(crate) trait IntegerJob {
    /// What it gives.
    type Output;
    /// Computes over vectors of any width.
    fn run<L: IntegerLanes>(self, lanes: L) -> Self::Output;
}
