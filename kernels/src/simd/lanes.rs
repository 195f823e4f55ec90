//! What a vector of 16 lanes can do, whatever its width in the machine; what is computed with it, and what is built of it.

use super::f64x8::F64x8;

/// Lanes of a vector.
pub const LANES: usize = 16;

/// Sixteen-lane arithmetic. A value of the implementing type proves that the machine has the instructions.
pub(crate) trait Lanes: F64x8 + Send + Sync {
    /// Vector registers of 16 f32 or 8 f64 that the machine has, which bounds how much a kernel keeps in flight.
    const REGISTERS: usize;
    /// A vector of sixteen f32.
    type F: Copy;
    /// A table of 16 f32 in registers.
    type Table: Copy;

    /// The same value in each lane.
    fn splat(self, x: f32) -> Self::F;
    /// Reads 16 values.
    fn load(self, from: &[f32; LANES]) -> Self::F;
    /// Asks memory for the cache line of an address, which may be that of nothing.
    fn prefetch(self, address: *const u8);
    /// Writes 16 values.
    fn store(self, v: Self::F, to: &mut [f32; LANES]);
    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a − b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a` where `a > b`, else `b` (also where either is NaN).
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a` where `a < b`, else `b` (also where either is NaN).
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The sum of each vector's lanes, halves first.
    fn sums(self, of: [Self::F; LANES]) -> Self::F;
    /// `2^n` for `n + 1.5·2²³` with an integer −126 ≤ n ≤ 127, see [`exp`].
    fn exp2_shifted(self, shifted: Self::F) -> Self::F;
    /// Sixteen IEEE binary16 values.
    fn load_f16(self, from: &[u16; LANES]) -> Self::F;
    /// Sixteen bfloat16 values.
    fn load_bf16(self, from: &[u16; LANES]) -> Self::F;
    /// Sixteen signed bytes.
    fn load_i8(self, from: &[u8; LANES]) -> Self::F;
    /// Sixteen E4M3 codes as their value divided by [`FP8_UNIT`]. The two NaN codes read as ±480.
    fn load_fp8(self, from: &[u8; LANES]) -> Self::F;
    /// Puts a table into registers.
    fn table(self, table: &[f32; LANES]) -> Self::Table;
    /// The table's entries at the high nibbles and at the low nibbles of 16 bytes.
    fn lookup(self, table: Self::Table, codes: &[u8; LANES]) -> [Self::F; 2];
    /// The entries of a 256-entry table.
    fn gather(self, table: &[f32; 256], codes: &[u8; LANES]) -> Self::F;
}

/// What [`Lanes::load_fp8`] is to be multiplied by. An E4M3 code moved into an f16 has the wrong exponent bias,
/// 15 for 7, and so 2⁻⁸ of its value; multiplying sums instead of weights by it is exact and free.
pub(crate) const FP8_UNIT: f32 = 256.0;

/// The f16 bits of an E4M3 code as [`Lanes::load_fp8`] reads it.
#[inline(always)]
pub(super) fn fp8_as_f16(code: u8) -> u16 {
    (i16::from(code as i8) << 7) as u16 & 0xbf80
}

/// A computation over any width. `run` and all that it calls must be `#[inline(always)]`.
pub(crate) trait Job {
    /// What it gives.
    type Output;
    /// Computes over vectors of any width.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// `e^x` within 2 units in the last place for −87 ≤ x ≤ 88; arguments beyond are clamped and NaN stays NaN.
///
/// `x = n·ln 2 + r` with the nearest integer n, `ln 2` in two parts (Cody and Waite, 1980), and the Taylor
/// polynomial of degree 7 on |r| ≤ ½ ln 2.
#[inline(always)]
pub(crate) fn exp<L: Lanes>(l: L, x: L::F) -> L::F {
    const SHIFT: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const COEFFICIENTS: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let x = l.max(l.splat(-87.0), l.min(l.splat(88.0), x));
    let shifted = l.mul_add(x, l.splat(std::f32::consts::LOG2_E), l.splat(SHIFT));
    let n = l.sub(shifted, l.splat(SHIFT));
    let r = l.mul_add(n, l.splat(-LN2_HIGH), x);
    let r = l.mul_add(n, l.splat(-LN2_LOW), r);
    let mut sum = l.splat(1.0 / 5040.0);
    for c in COEFFICIENTS {
        sum = l.mul_add(sum, r, l.splat(c));
    }
    l.mul(sum, l.exp2_shifted(shifted))
}

/// The sum of the lanes, halves first.
#[inline(always)]
pub(crate) fn sum<L: Lanes>(l: L, v: L::F) -> f32 {
    by_halves(l, v, |a, b| a + b)
}

/// The largest of the lanes.
#[inline(always)]
pub(crate) fn largest<L: Lanes>(l: L, v: L::F) -> f32 {
    by_halves(l, v, |a, b| if a > b { a } else { b })
}

/// Joins the halves of the lanes until one is left.
#[inline(always)]
fn by_halves<L: Lanes>(l: L, v: L::F, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut s = [0.0; LANES];
    l.store(v, &mut s);
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            s[i] = join(s[i], s[i + half]);
        }
        half /= 2;
    }
    s[0]
}
