//! OCP E4M3: sign, four exponent bits (bias 7), three mantissa bits; largest value 448, no infinities, NaN only at
//! `S.1111.111` (OCP 8-bit Floating Point Specification 1.0, table 2). Values are multiplied by an f32 scale.
//!
//! The scale is `absmax / 448` of the row or the tensor, 1 where all is zero. Conversion rounds to nearest, ties to
//! even, as ml_dtypes does, and saturates at ±448 where ml_dtypes gives NaN: after scaling nothing lies above 448 by
//! more than a rounding error.

use rayon::prelude::*;
use samp_abi::{Component, ScaleAxis};

use super::{arithmetic::absmax, error::EncodeError, input::Input};
use crate::encoded::{Encoded, EncodedRef};

/// The largest E4M3 value.
pub const FP8_MAX: f32 = 448.0;

/// The value of every E4M3 code, by code.
pub const FP8: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = value(code as u8);
        code += 1;
    }
    table
};

/// The value of a code, bit by bit; only the table is built with it.
const fn value(code: u8) -> f32 {
    let sign = (code as u32 >> 7) << 31;
    let magnitude = code as u32 & 0x7f;
    let smallest = 1.0 / 512.0;
    let positive = match magnitude {
        0x7f => f32::NAN,
        0..8 => magnitude as f32 * smallest,
        // The three mantissa bits move to the top of f32's 23, the exponent from bias 7 to bias 127.
        _ => f32::from_bits((magnitude << 20) + (120 << 23)),
    };
    f32::from_bits(positive.to_bits() | sign)
}

/// The value of an E4M3 code, without scale.
#[inline(always)]
pub fn fp8_to_f32(code: u8) -> f32 {
    FP8[code as usize]
}

/// The E4M3 code nearest to `x`, ties to even; magnitudes above 448 give ±448, NaN gives NaN.
#[inline(always)]
pub fn f32_to_fp8(x: f32) -> u8 {
    let sign = (x.to_bits() >> 24) as u8 & 0x80;
    let magnitude = x.to_bits() & 0x7fff_ffff;
    let bits = magnitude.min(FP8_MAX.to_bits());
    // Twenty mantissa bits go; adding half of their range less one, and the last kept bit, rounds ties to even.
    let normal = ((bits + 0x7_ffff + ((bits >> 20) & 1)) >> 20).wrapping_sub(120 << 3);
    // Below 2^-6 codes are multiples of 2^-9, the last place of an f32 near 2^14, so the addition rounds.
    let subnormal = (f32::from_bits(bits) + 16384.0).to_bits() - 16384f32.to_bits();
    let rounded = if bits < (1f32 / 64.0).to_bits() { subnormal } else { normal };
    let finite = rounded as u8 | sign;
    if magnitude > f32::INFINITY.to_bits() { 0x7f | sign } else { finite }
}

/// The scale of values up to `absmax`. It stays a normal number, so that tiny rows keep what precision they can.
pub(crate) fn scale_of(absmax: f32) -> f32 {
    if absmax == 0.0 { 1.0 } else { (absmax / FP8_MAX).max(f32::MIN_POSITIVE) }
}

pub(super) fn encode(input: &Input, axis: ScaleAxis) -> Result<Encoded, EncodeError> {
    let mut encoded = input.zeroed(0);
    let [values, scales] = encoded.parts_mut([Component::Values, Component::Scales]);
    let scales: &mut [f32] = bytemuck::cast_slice_mut(scales);
    match axis {
        ScaleAxis::Tensor => {
            scales[0] = scale_of(input.absmax()?);
            let scale = scales[0];
            // Half of the smallest value is rounded to zero.
            let input = Input { lost: scale * FP8[1] / 2.0, ..*input };
            input.for_each_chunk(values.par_chunks_mut(input.chunk_values()), |chunk, codes| {
                encode_values(chunk.values, scale, codes);
                Ok(())
            })?;
        }
        ScaleAxis::Channel => {
            let outputs =
                values.par_chunks_mut(input.chunk_values()).zip(scales.par_chunks_mut(input.chunk_rows()));
            input.for_each_chunk(outputs, |chunk, (codes, scales)| {
                let rows = chunk.values.chunks(input.cols).zip(codes.chunks_mut(input.cols));
                for ((row, codes), scale) in rows.zip(scales) {
                    *scale = scale_of(absmax(row));
                    encode_values(row, *scale, codes);
                }
                Ok(())
            })?;
        }
    }
    Ok(encoded)
}

fn encode_values(values: &[f32], scale: f32, codes: &mut [u8]) {
    for (code, x) in codes.iter_mut().zip(values) {
        *code = f32_to_fp8(x / scale);
    }
}

pub(super) fn decode_row(tensor: &EncodedRef<'_>, axis: ScaleAxis, row: usize, out: &mut [f32]) {
    let scales: &[f32] = tensor.part_as(Component::Scales);
    let scale = scales[if axis == ScaleAxis::Channel { row } else { 0 }];
    tensor.lane::<u8>(Component::Values, row, tensor.cols).map(out, |code| fp8_to_f32(code) * scale);
}
