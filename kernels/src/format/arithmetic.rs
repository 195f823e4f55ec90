//! What all formats compute with: magnitudes, and rounding to integers.

/// The largest magnitude of finite values; 0 of none.
#[inline(always)]
pub(super) fn absmax(values: &[f32]) -> f32 {
    // As integers, magnitudes order like the floats they are and the maximum vectorises.
    f32::from_bits(values.iter().fold(0, |max, x| max.max(x.to_bits() & 0x7fff_ffff)))
}

/// `x` rounded to the nearest integer, ties to even, for |x| < 2^22.
#[inline(always)]
pub(crate) fn round_ties_even(x: f32) -> i32 {
    // 1.5·2^23: there the last place of an f32 is one, so the addition rounds. A call to libm does not vectorise.
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i32
}
