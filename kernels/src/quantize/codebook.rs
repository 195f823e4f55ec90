//! The values that a format can store: how a scale is derived and stored, and which code is nearest to a weight.
//!
//! A code decodes to `(value − zero) · scale`, rounded as [`crate::format::decode_rows`] rounds it.

use samp_abi::{ABSMAX_GROUP, Format};

use super::matmul::WIDE;
use super::scale_grid::ScaleSearch;
use crate::format::{
    Coding, FP8_MAX, absmax_code, absmax_of, coding_of, f32_to_fp8, fp8_scale, group_scale, int8_scale,
    round_ties_even, table,
};

/// The weights of 16 rows in one column.
pub(super) type ColumnStrip = [f32; WIDE];

/// A scale as it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Scale {
    /// The decoded scale.
    pub scale: f32,
    /// The zero point (asymmetric int4) or the code of the absmax (nf4, fp4).
    pub tag: u8,
}

/// The least and greatest weight of a block, zero included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    pub low: f32,
    pub high: f32,
}

impl Extent {
    pub fn absmax(self) -> f32 {
        self.high.max(-self.low)
    }
}

/// A format's codes and scales. `x` is a weight divided by its scale, `tag` the scale's.
pub(super) trait Codebook: Sync {
    /// The multiples of a block's extent that are worth trying.
    fn multiples(&self, search: ScaleSearch) -> Vec<f32> {
        search.multiples(false)
    }

    /// The stored scale nearest to `multiple` times that which just reaches `extent`, for the block of this index in
    /// row-major order. Not finite where the format cannot hold it.
    fn scale(&self, extent: Extent, multiple: f32, block: usize) -> Scale;

    /// The value, less the zero point, of the code nearest to `x`.
    fn value(&self, x: f32, tag: f32) -> f32;

    /// The code nearest to `x`.
    fn code(&self, x: f32, tag: f32) -> u8;
}

/// Integers from `least` to `least + steps`.
pub(super) struct Integers {
    format: Format,
    least: f32,
    most: f32,
}

impl Integers {
    /// The codes of `format`. Panics if they are no integers.
    pub fn new(format: Format) -> Integers {
        let (least, most) = match format {
            Format::Int4 { zero_point: true, .. } => (0.0, 15.0),
            Format::Int8 { .. } => (-127.0, 127.0),
            Format::Int4 { zero_point: false, .. } | Format::Int5 { .. } | Format::Int6 { .. } => {
                let half = (1 << (format.code_bits() - 1)) as f32;
                (-half, half - 1.0)
            }
            Format::F32 | Format::F16 | Format::Bf16 | Format::Fp8E4m3(_) | Format::Nf4 | Format::Fp4 => {
                unreachable!("{format} has no integer codes")
            }
        };
        Integers { format, least, most }
    }
}

impl Codebook for Integers {
    /// Symmetric codes of groups reach farther on one side.
    fn multiples(&self, search: ScaleSearch) -> Vec<f32> {
        search.multiples(self.format.group().is_some() && self.least < 0.0)
    }

    fn scale(&self, extent: Extent, multiple: f32, _: usize) -> Scale {
        let Extent { low, high } = extent;
        match self.format {
            Format::Int4 { zero_point: true, .. } => {
                // Halves do not overflow f32 where the range would.
                let scale = group_scale(multiple * (high / 2.0 - low / 2.0) / 7.5).to_f32();
                let zero = round_ties_even((-low * multiple / scale).clamp(0.0, 15.0));
                Scale { scale, tag: zero as u8 }
            }
            Format::Int8 { .. } => Scale { scale: int8_scale(multiple * extent.absmax()), tag: 0 },
            Format::Int4 { zero_point: false, .. } | Format::Int5 { .. } | Format::Int6 { .. } => {
                let extreme = if -low >= high { low } else { high };
                Scale { scale: group_scale(multiple * extreme / self.least).to_f32(), tag: 0 }
            }
            Format::F32 | Format::F16 | Format::Bf16 | Format::Fp8E4m3(_) | Format::Nf4 | Format::Fp4 => {
                unreachable!("{} has no integer codes", self.format)
            }
        }
    }

    #[inline(always)]
    fn value(&self, x: f32, tag: f32) -> f32 {
        // 1.5·2^23: there the last place of an f32 is one, so the addition rounds, ties to even.
        const MAGIC: f32 = 12_582_912.0;
        let steps = x.clamp(-256.0, 256.0) + MAGIC - MAGIC;
        (steps + tag).clamp(self.least, self.most) - tag
    }

    #[inline(always)]
    fn code(&self, x: f32, tag: f32) -> u8 {
        let code = (self.value(x, tag) + tag) as i32 as u8;
        code & (0xff >> (8 - self.format.code_bits()))
    }
}

/// The values of E4M3.
pub(super) struct Fp8 {
    /// The scale of the tensor, if it has one.
    pub fixed: Option<f32>,
}

impl Codebook for Fp8 {
    fn multiples(&self, search: ScaleSearch) -> Vec<f32> {
        if self.fixed.is_some() { vec![1.0] } else { search.multiples(false) }
    }

    fn scale(&self, extent: Extent, multiple: f32, _: usize) -> Scale {
        let scale = self.fixed.unwrap_or_else(|| fp8_scale(multiple * extent.absmax()));
        Scale { scale, tag: 0 }
    }

    /// As [`f32_to_fp8`] rounds, without the table.
    #[inline(always)]
    fn value(&self, x: f32, _: f32) -> f32 {
        let magnitude = x.abs().min(FP8_MAX);
        let bits = magnitude.to_bits();
        let normal = f32::from_bits((bits + 0x7_ffff + ((bits >> 20) & 1)) & !0xf_ffff);
        let subnormal = magnitude + 16384.0 - 16384.0;
        let rounded = if magnitude < 1.0 / 64.0 { subnormal } else { normal };
        rounded.copysign(x)
    }

    #[inline(always)]
    fn code(&self, x: f32, _: f32) -> u8 {
        f32_to_fp8(x)
    }
}

/// nf4 and fp4, whose absmax is itself stored as a code: groups of 256 share a scale, all share an offset.
pub(super) struct Table {
    coding: &'static Coding,
    /// The values in ascending order.
    values: [f32; 16],
    /// What every decoded absmax starts from.
    pub offset: f32,
    /// Of each group of absmax codes.
    pub scales: Vec<f32>,
}

/// Room above and below the original maxima for those of compensated weights.
const HEADROOM: f32 = 1.25;

impl Table {
    /// The codes of nf4 or fp4, with room for the blocks whose `absmax` will be near these (of all blocks, row-major).
    pub fn new(format: Format, absmax: &[f32]) -> Table {
        let coding = coding_of(format);
        let values = coding.codes.map(|code| table(format)[usize::from(code)]);
        let sum: f64 = absmax.iter().map(|&a| f64::from(a)).sum();
        let offset = (sum / absmax.len().max(1) as f64) as f32;
        let range = |group: &[f32]| {
            let farthest = group.iter().fold(0.0_f32, |far, a| far.max((a - offset).abs()));
            // Where all maxima agree, those of compensated weights still will not.
            (farthest * HEADROOM).max(offset * 0.25)
        };
        let scales = absmax.chunks(ABSMAX_GROUP as usize).map(range).collect();
        Table { coding, values, offset, scales }
    }
}

impl Codebook for Table {
    fn scale(&self, extent: Extent, multiple: f32, block: usize) -> Scale {
        let group = self.scales[block / ABSMAX_GROUP as usize];
        let wanted = multiple * extent.absmax() - self.offset;
        let tag = if group == 0.0 { 0 } else { absmax_code(wanted / group) };
        Scale { scale: absmax_of(tag, group, self.offset), tag }
    }

    #[inline(always)]
    fn value(&self, x: f32, _: f32) -> f32 {
        let mut value = self.values[0];
        for (midpoint, next) in self.coding.midpoints.iter().zip(&self.values[1..]) {
            value = if x > *midpoint { *next } else { value };
        }
        value
    }

    #[inline(always)]
    fn code(&self, x: f32, _: f32) -> u8 {
        let exceeded: usize = self.coding.midpoints.iter().map(|&m| usize::from(x > m)).sum();
        self.coding.codes[exceeded]
    }
}

/// A weight in units of its scale.
#[inline(always)]
pub(super) fn scaled(x: f32, scale: f32) -> f32 {
    // A scale of zero stands for a block of zeros whatever its codes.
    if scale == 0.0 { 0.0 } else { x / scale }
}
