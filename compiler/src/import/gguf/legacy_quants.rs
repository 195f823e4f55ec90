//! Blocks of 32 weights with one scale, and plain floats.

use half::{bf16, f16 as half16};

use crate::import::e2m1::E2M1;

/// The f16 at a place.
#[inline(always)]
pub(super) fn half(bytes: &[u8], at: usize) -> f32 {
    half16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

pub(super) fn f32(bytes: &[u8], out: &mut [f32]) {
    out[0] = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
}

pub(super) fn f16(bytes: &[u8], out: &mut [f32]) {
    out[0] = half(bytes, 0);
}

pub(super) fn bf16(bytes: &[u8], out: &mut [f32]) {
    out[0] = bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
}

/// The low nibbles are the first half of the codes, the high ones the second.
fn halves(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().map(|byte| byte & 15).chain(bytes.iter().map(|byte| byte >> 4))
}

/// The same with the fifth bit of each code.
fn with_high_bits<'a>(high: &[u8], bytes: &'a [u8]) -> impl Iterator<Item = u8> + 'a {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    halves(bytes).enumerate().map(move |(i, low)| low | ((high >> i & 1) as u8) << 4)
}

fn each(out: &mut [f32], codes: impl Iterator<Item = u8>, value: impl Fn(u8) -> f32) {
    out.iter_mut().zip(codes).for_each(|(x, code)| *x = value(code));
}

pub(super) fn q4_0(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 0);
    each(out, halves(&bytes[2..]), |code| d * (f32::from(code) - 8.0));
}

pub(super) fn q4_1(bytes: &[u8], out: &mut [f32]) {
    let (d, m) = (half(bytes, 0), half(bytes, 2));
    each(out, halves(&bytes[4..]), |code| d * f32::from(code) + m);
}

pub(super) fn q5_0(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 0);
    each(out, with_high_bits(&bytes[2..6], &bytes[6..]), |code| d * (f32::from(code) - 16.0));
}

pub(super) fn q5_1(bytes: &[u8], out: &mut [f32]) {
    let (d, m) = (half(bytes, 0), half(bytes, 2));
    each(out, with_high_bits(&bytes[4..8], &bytes[8..]), |code| d * f32::from(code) + m);
}

pub(super) fn q8_0(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 0);
    each(out, bytes[2..].iter().copied(), |code| f32::from(code as i8) * d);
}

/// The values of IQ4_NL's codes.
pub(super) const IQ4: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
];

pub(super) fn iq4_nl(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 0);
    each(out, halves(&bytes[2..]), |code| d * IQ4[usize::from(code)]);
}

/// E2M1 with the exponent of a power of two. ggml doubles the codes and halves the scale, to the same products.
pub(super) fn mxfp4(bytes: &[u8], out: &mut [f32]) {
    let exponent = u32::from(bytes[0]);
    let d = f32::from_bits(if exponent < 2 { 0x0020_0000 << exponent } else { (exponent - 1) << 23 });
    each(out, halves(&bytes[1..]), |code| d * doubled(code));
}

/// Four scales in unsigned E4M3, each of 16 weights.
pub(super) fn nvfp4(bytes: &[u8], out: &mut [f32]) {
    let (scales, codes) = bytes.split_at(4);
    for ((out, codes), &scale) in out.chunks_exact_mut(16).zip(codes.chunks_exact(8)).zip(scales) {
        let (exponent, mantissa) = (i32::from(scale >> 3 & 15), f32::from(scale & 7));
        let raw = match exponent {
            0 => mantissa * 2f32.powi(-9),
            _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
        };
        let d = if matches!(scale, 0 | 0x7f) { 0.0 } else { raw * 0.5 };
        each(out, halves(codes), |code| d * doubled(code));
    }
}

/// Twice an E2M1 code as an integer, which has one zero.
fn doubled(code: u8) -> f32 {
    2.0 * E2M1[usize::from(code)] + 0.0
}
