//! Super-blocks of 256 weights whose codes name points of a grid: four or eight magnitudes or signs at once.
//!
//! `grids.bin` holds the grids of ggml, four digits to a byte (two of IQ3's, eight values each), and the signs of IQ2_XXS:
//! `testdata/quantized/make_grids.py` wrote it from gguf-py's tables.

use super::legacy_quants::half;

/// All grids one after another.
static GRIDS: &[u8] = include_bytes!("grids.bin");

/// A grid: where it lies, and the value of each digit.
struct Grid {
    start: usize,
    /// Digits of a point.
    width: usize,
    /// Bits of a digit: two or four.
    bits: usize,
    values: [f32; 8],
}

const IQ2_VALUES: [f32; 8] = [8.0, 25.0, 43.0, 0.0, 0.0, 0.0, 0.0, 0.0];
const IQ2_XXS: Grid = Grid { start: 0, width: 8, bits: 2, values: IQ2_VALUES };
const IQ2_XS: Grid = Grid { start: 512, width: 8, bits: 2, values: IQ2_VALUES };
const IQ2_S: Grid = Grid { start: 512 + 1024, width: 8, bits: 2, values: IQ2_VALUES };
const IQ3_XXS: Grid =
    Grid { start: 3584, width: 4, bits: 4, values: [4.0, 12.0, 20.0, 28.0, 36.0, 44.0, 52.0, 62.0] };
const IQ3_S: Grid =
    Grid { start: 4096, width: 4, bits: 4, values: [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0] };
const IQ1: Grid = Grid { start: 5120, width: 8, bits: 2, values: [-1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0] };
/// The signs of eight weights for each seven bits; the eighth makes their number even.
const SIGNS: usize = 9216;

impl Grid {
    /// One value of a point.
    #[inline(always)]
    fn at(&self, point: usize, i: usize) -> f32 {
        let bit = (point * self.width + i) * self.bits;
        self.values[usize::from(GRIDS[self.start + bit / 8] >> (bit % 8)) & ((1 << self.bits) - 1) & 7]
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// A value with the sign that a bit gives it.
fn signed(value: f32, signs: u8, i: usize) -> f32 {
    if signs >> i & 1 == 1 { -value } else { value }
}

/// A 4-bit scale of two in a byte.
fn nibble(bytes: &[u8], i: usize) -> f32 {
    f32::from(bytes[i / 2] >> (4 * (i % 2)) & 15)
}

pub(super) fn iq2_xxs(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 0);
    for (i, out) in out.iter_mut().enumerate() {
        let block = 2 + 8 * (i / 32);
        let tail = word(bytes, block + 4);
        let db = d * (0.5 + (tail >> 28) as f32) * 0.25;
        let part = i % 32 / 8;
        let signs = GRIDS[SIGNS + (tail >> (7 * part) & 127) as usize];
        *out = signed(db * IQ2_XXS.at(bytes[block + part].into(), i % 8), signs, i % 8);
    }
}

pub(super) fn iq2_xs(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 0);
    for (i, out) in out.iter_mut().enumerate() {
        let code = short(bytes, 2 + 2 * (i / 8));
        let db = d * (0.5 + nibble(&bytes[66..], i / 16)) * 0.25;
        let signs = GRIDS[SIGNS + usize::from(code >> 9)];
        *out = signed(db * IQ2_XS.at(usize::from(code & 511), i % 8), signs, i % 8);
    }
}

pub(super) fn iq2_s(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 0);
    for (i, out) in out.iter_mut().enumerate() {
        let part = i / 8;
        let high = usize::from(bytes[66 + part / 4] >> (2 * (part % 4)) & 3);
        let db = d * (0.5 + nibble(&bytes[74..], i / 16)) * 0.25;
        let point = usize::from(bytes[2 + part]) | high << 8;
        *out = signed(db * IQ2_S.at(point, i % 8), bytes[34 + part], i % 8);
    }
}

pub(super) fn iq3_xxs(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 0);
    for (i, out) in out.iter_mut().enumerate() {
        let tail = word(bytes, 66 + 4 * (i / 32));
        let db = d * (0.5 + (tail >> 28) as f32) * 0.5;
        let signs = GRIDS[SIGNS + (tail >> (7 * (i % 32 / 8)) & 127) as usize];
        *out = signed(db * IQ3_XXS.at(bytes[2 + i / 4].into(), i % 4), signs, i % 8);
    }
}

pub(super) fn iq3_s(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 0);
    for (i, out) in out.iter_mut().enumerate() {
        let part = i / 4;
        let high = usize::from(bytes[66 + part / 8] >> (part % 8) & 1);
        let db = d * (1.0 + 2.0 * nibble(&bytes[106..], i / 32));
        let point = usize::from(bytes[2 + part]) | high << 8;
        *out = signed(db * IQ3_S.at(point, i % 4), bytes[74 + i / 8], i % 8);
    }
}

/// What IQ1 moves its points by.
const DELTA: f32 = 0.125;

pub(super) fn iq1_s(bytes: &[u8], out: &mut [f32]) {
    let d = half(bytes, 0);
    for (i, out) in out.iter_mut().enumerate() {
        let high = short(bytes, 34 + 2 * (i / 32));
        let dl = d * f32::from(2 * (high >> 12 & 7) + 1);
        let delta = if high & 0x8000 == 0 { DELTA } else { -DELTA };
        let part = i / 8;
        let point = usize::from(bytes[2 + part]) | usize::from(high >> (3 * (part % 4)) & 7) << 8;
        *out = dl * (IQ1.at(point, i % 8) + delta);
    }
}

/// The f16 scale lies in the high nibbles of the four words of scales.
pub(super) fn iq1_m(bytes: &[u8], out: &mut [f32]) {
    let scales: [u16; 4] = std::array::from_fn(|i| short(bytes, 48 + 2 * i));
    let bits = scales.iter().enumerate().fold(0, |bits, (i, word)| bits | word >> 12 << (4 * i));
    let d = half(&u16::to_le_bytes(bits), 0);
    for (i, out) in out.iter_mut().enumerate() {
        let dl = d * f32::from(2 * (scales[i / 64] >> (3 * (i / 16 % 4)) & 7) + 1);
        let part = i / 8;
        let high = bytes[32 + part / 2] >> (4 * (part % 2));
        let delta = if high & 8 == 0 { DELTA } else { -DELTA };
        let point = usize::from(bytes[part]) | usize::from(high & 7) << 8;
        *out = dl * (IQ1.at(point, i % 8) + delta);
    }
}
