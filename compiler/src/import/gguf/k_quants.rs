//! Super-blocks of 256 weights, whose blocks of 16 or 32 have quantized scales of their own.

use super::legacy_quants::{IQ4, half};

/// The 6-bit scales and minima of the eight blocks of Q4_K and Q5_K.
fn scales_and_minima(bytes: &[u8]) -> [(f32, f32); 8] {
    std::array::from_fn(|i| {
        let (scale, minimum) = if i < 4 {
            (bytes[i] & 63, bytes[i + 4] & 63)
        } else {
            let both = bytes[i + 4];
            (both & 15 | bytes[i - 4] >> 2 & 0x30, both >> 4 | bytes[i] >> 2 & 0x30)
        };
        (f32::from(scale), f32::from(minimum))
    })
}

pub(super) fn q2_k(bytes: &[u8], out: &mut [f32]) {
    let (scales, codes) = (&bytes[..16], &bytes[16..80]);
    let (d, dmin) = (half(bytes, 80), half(bytes, 82));
    for (i, out) in out.iter_mut().enumerate() {
        let (half_block, shift, column) = (i / 128, i % 128 / 32, i % 32);
        let scale = scales[i / 16];
        let code = codes[32 * half_block + column] >> (2 * shift) & 3;
        *out = d * f32::from(scale & 15) * f32::from(code) - dmin * f32::from(scale >> 4);
    }
}

pub(super) fn q3_k(bytes: &[u8], out: &mut [f32]) {
    let (mask, codes, packed) = (&bytes[..32], &bytes[32..96], &bytes[96..108]);
    let d = half(bytes, 108);
    let scale = |i: usize| {
        let low = packed[i % 8] >> (4 * (i / 8)) & 15;
        let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
        f32::from((low | high << 4) as i8 - 32)
    };
    for (i, out) in out.iter_mut().enumerate() {
        let (half_block, shift, column) = (i / 128, i % 128 / 32, i % 32);
        let low = (codes[32 * half_block + column] >> (2 * shift) & 3) as i8;
        // Where the bit is set nothing is subtracted.
        let high = if mask[column] >> (i / 32) & 1 == 1 { 0 } else { 4 };
        *out = d * scale(i / 16) * f32::from(low - high);
    }
}

pub(super) fn q4_k(bytes: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half(bytes, 0), half(bytes, 2));
    let blocks = scales_and_minima(&bytes[4..16]);
    for (i, out) in out.iter_mut().enumerate() {
        let (scale, minimum) = blocks[i / 32];
        let code = bytes[16 + 32 * (i / 64) + i % 32] >> (4 * (i / 32 % 2)) & 15;
        *out = d * scale * f32::from(code) - dmin * minimum;
    }
}

pub(super) fn q5_k(bytes: &[u8], out: &mut [f32]) {
    let (d, dmin) = (half(bytes, 0), half(bytes, 2));
    let blocks = scales_and_minima(&bytes[4..16]);
    for (i, out) in out.iter_mut().enumerate() {
        let (scale, minimum) = blocks[i / 32];
        let low = bytes[48 + 32 * (i / 64) + i % 32] >> (4 * (i / 32 % 2)) & 15;
        let high = bytes[16 + i % 32] >> (i / 32) & 1;
        *out = d * scale * f32::from(low | high << 4) - dmin * minimum;
    }
}

pub(super) fn q6_k(bytes: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&bytes[..128], &bytes[128..192], &bytes[192..208]);
    let d = half(bytes, 208);
    for (i, out) in out.iter_mut().enumerate() {
        let (half_block, within) = (i / 128, i % 128);
        let low = low[64 * half_block + within % 64] >> (4 * (within / 64)) & 15;
        let high = high[32 * half_block + within % 32] >> (2 * (within / 32)) & 3;
        *out = d * f32::from(scales[i / 16] as i8) * f32::from((low | high << 4) as i8 - 32);
    }
}

pub(super) fn iq4_xs(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 0);
    let high = u16::from_le_bytes([bytes[2], bytes[3]]);
    for (block, out) in out.chunks_exact_mut(32).enumerate() {
        let low = bytes[4 + block / 2] >> (4 * (block % 2)) & 15;
        let scale = (low | ((high >> (2 * block) & 3) as u8) << 4) as i8 - 32;
        let codes = &bytes[8 + 16 * block..][..16];
        for (i, out) in out.iter_mut().enumerate() {
            let code = codes[i % 16] >> (4 * (i / 16)) & 15;
            *out = d * f32::from(scale) * IQ4[usize::from(code)];
        }
    }
}

/// Five ternary digits to a byte, as a fraction of 256 whose digits in base 3 come out by multiplying.
pub(super) fn tq1_0(bytes: &[u8], out: &mut [f32]) {
    const POWERS: [u8; 5] = [1, 3, 9, 27, 81];
    let d = half(bytes, 52);
    for (i, out) in out.iter_mut().enumerate() {
        let (byte, digit) = match i {
            0..160 => (i % 32, i / 32),
            160..240 => (32 + (i - 160) % 16, (i - 160) / 16),
            _ => (48 + (i - 240) % 4, (i - 240) / 4),
        };
        let fraction = bytes[byte].wrapping_mul(POWERS[digit]);
        *out = d * f32::from(((u16::from(fraction) * 3) >> 8) as i8 - 1);
    }
}

pub(super) fn tq2_0(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 64);
    for (i, out) in out.iter_mut().enumerate() {
        let (half_block, shift, column) = (i / 128, i % 128 / 32, i % 32);
        let code = bytes[32 * half_block + column] >> (2 * shift) & 3;
        *out = d * f32::from(code as i8 - 1);
    }
}
