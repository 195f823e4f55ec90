//! Whole numbers in bytes: products of four at a time that add up in 32 bits, where the machine has such an instruction.
//!
//! A number of 15 bits is a byte and another times 128, so sums of these bytes' products make those of
//! [`IntegerLanes`], to the bit.

use super::{integer::IntegerLanes, lanes::LANES};

/// What a vector of 16 lanes of four bytes can do. A value of the implementing type proves that the machine has the
/// instructions.
pub(crate) trait ByteLanes: IntegerLanes {
    /// Sixteen times four bytes.
    type Bytes: Copy;

    /// The same number in each byte.
    fn splat_u8(self, x: u8) -> Self::Bytes;
    /// Puts a table into registers.
    fn byte_table(self, table: &[u8; LANES]) -> Self::Bytes;
    /// Four vectors of 16 bytes; each lane takes its byte of the first, of the second and so on.
    fn load_rows(self, from: [&[u8; LANES]; 4]) -> Self::Bytes;
    /// The same of bytes that lie together.
    fn load_step(self, from: &[[u8; LANES]; 4]) -> Self::Bytes;
    /// Reads bytes by their places: byte `order[i]` becomes byte `i`.
    fn permute_bytes(self, from: &[u8; 4 * LANES], order: &[u8; 4 * LANES]) -> Self::Bytes;
    /// Writes each lane's four bytes.
    fn store_bytes(self, bytes: Self::Bytes, to: &mut [u8; 4 * LANES]);
    /// The bits that differ.
    fn xor_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// `a − b`, whose overflow wraps around.
    fn sub_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// The high half of each byte, and the low half.
    fn nibbles(self, bytes: Self::Bytes) -> [Self::Bytes; 2];
    /// `value` where a byte has some of the bits that stand for its place, and zero elsewhere.
    fn where_bits(self, bytes: Self::Bytes, bits: [u8; 4], value: u8) -> Self::Bytes;
    /// The bits that either has.
    fn or_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// The table's entry at each byte, which is below 16.
    fn lookup_bytes(self, table: Self::Bytes, nibbles: Self::Bytes) -> Self::Bytes;
    /// Reads sixteen sums.
    fn load_sums(self, from: &[i32; LANES]) -> Self::Sums;
    /// `sums + Σ bytes[i] · x[i]` over the four of each lane, the bytes without a sign.
    fn add_byte_dots(self, sums: Self::Sums, bytes: Self::Bytes, x: [i8; 4]) -> Self::Sums;
    /// `sums · 2^BITS + to`, whose overflow wraps around.
    fn shift_and_add<const BITS: u32>(self, sums: Self::Sums, to: Self::Sums) -> Self::Sums;
}

/// A computation over bytes. `run` and all that it calls must be `#[inline(always)]`.
pub(crate) trait ByteJob {
    /// What it gives.
    type Output;
    /// Computes over vectors that have bytes.
    fn run<L: ByteLanes>(self, lanes: L) -> Self::Output;
}
