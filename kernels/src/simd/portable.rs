//! Sixteen f32 lanes, or eight of f64, or sixteen pairs of words, in plain Rust.

use super::{
    f64x8::{F64_LANES, F64x8},
    integer::IntegerLanes,
    lanes::{LANES, Lanes, fp8_as_f16},
};
use half::{bf16, f16};
use std::array::from_fn;

/// Plain arrays; runs anywhere.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Lanes for Portable {
    const REGISTERS: usize = 8;
    type F = [f32; LANES];
    type Table = [f32; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> [f32; LANES] {
        *from
    }

    #[inline(always)]
    fn prefetch(self, _: *const u8) {}

    #[inline(always)]
    fn store(self, v: [f32; LANES], to: &mut [f32; LANES]) {
        *to = v;
    }

    #[inline(always)]
    fn add(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|i| a[i] / b[i])
    }

    // Where this is the fallback it is sixteen calls into the C library, which no kernel should be filled with.
    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn mul_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn max(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn sums(self, of: [[f32; LANES]; LANES]) -> [f32; LANES] {
        of.map(|v| super::sum(self, v))
    }

    #[inline(always)]
    fn exp2_shifted(self, shifted: [f32; LANES]) -> [f32; LANES] {
        shifted.map(|s| f32::from_bits((s.to_bits() << 23).wrapping_add(0x3f80_0000)))
    }

    #[inline(always)]
    fn load_f16(self, from: &[u16; LANES]) -> [f32; LANES] {
        from.map(|bits| f16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    fn load_bf16(self, from: &[u16; LANES]) -> [f32; LANES] {
        from.map(|bits| bf16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    fn load_i8(self, from: &[u8; LANES]) -> [f32; LANES] {
        from.map(|code| f32::from(code as i8))
    }

    #[inline(always)]
    fn load_fp8(self, from: &[u8; LANES]) -> [f32; LANES] {
        from.map(|code| f16::from_bits(fp8_as_f16(code)).to_f32())
    }

    #[inline(always)]
    fn table(self, table: &[f32; LANES]) -> [f32; LANES] {
        *table
    }

    #[inline(always)]
    fn lookup(self, table: [f32; LANES], codes: &[u8; LANES]) -> [[f32; LANES]; 2] {
        [codes.map(|c| table[usize::from(c >> 4)]), codes.map(|c| table[usize::from(c & 15)])]
    }

    #[inline(always)]
    fn gather(self, table: &[f32; 256], codes: &[u8; LANES]) -> [f32; LANES] {
        codes.map(|c| table[usize::from(c)])
    }
}

impl F64x8 for Portable {
    type D = [f64; F64_LANES];

    #[inline(always)]
    fn splat_f64(self, x: f64) -> Self::D {
        [x; F64_LANES]
    }

    #[inline(always)]
    fn load_f64(self, from: &[f64; F64_LANES]) -> Self::D {
        *from
    }

    #[inline(always)]
    fn store_f64(self, v: Self::D, to: &mut [f64; F64_LANES]) {
        *to = v;
    }

    #[inline(always)]
    fn mul_add_f64(self, a: Self::D, b: Self::D, c: Self::D) -> Self::D {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
}

impl IntegerLanes for Portable {
    type Sums = [i32; LANES];
    type Words = [[i16; 2]; LANES];
    type WordTable = [i16; LANES];

    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::Sums {
        [x; LANES]
    }

    #[inline(always)]
    fn word_table(self, table: &[i16; LANES]) -> Self::WordTable {
        *table
    }

    #[inline(always)]
    fn lookup_words(self, table: Self::WordTable, codes: &[u8; LANES]) -> Self::Words {
        codes.map(|code| [code >> 4, code & 15].map(|nibble| table[usize::from(nibble)]))
    }

    #[inline(always)]
    fn pair_bytes(self, of: &[[u8; LANES]; 2]) -> Self::Words {
        from_fn(|row| of.map(|bytes| i16::from(bytes[row] as i8)))
    }

    #[inline(always)]
    fn load_words(self, from: &[[i16; 2]; LANES]) -> Self::Words {
        *from
    }

    #[inline(always)]
    fn store_words(self, words: Self::Words, to: &mut [[i16; 2]; LANES]) {
        *to = words;
    }

    #[inline(always)]
    fn add_dots(self, sums: Self::Sums, words: Self::Words, x: [i16; 2]) -> Self::Sums {
        let dot =
            |words: [i16; 2]| i32::from(words[0]) * i32::from(x[0]) + i32::from(words[1]) * i32::from(x[1]);
        from_fn(|row| sums[row] + dot(words[row]))
    }

    #[inline(always)]
    fn sums_to_f32(self, sums: Self::Sums) -> [f32; LANES] {
        sums.map(|sum| sum as f32)
    }
}
