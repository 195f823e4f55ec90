//! Scales as other tools store them, each read as the f32 that their own library computes with.

use half::{bf16, f16};
use safetensors::Dtype;
use samp_kernels::format::fp8_to_f32;

use super::stored::StoredTensor;

/// How the elements of a tensor of scales are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F16,
    Bf16,
    /// OCP E4M3.
    E4m3,
    /// The exponent of a power of two, less 127 (OCP E8M0).
    E8m0,
}

impl Element {
    /// How a stored type is read; bytes are exponents.
    pub(super) fn of(dtype: Dtype) -> Option<Element> {
        Some(match dtype {
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::Bf16,
            Dtype::F8_E4M3 => Element::E4m3,
            Dtype::F8_E8M0 | Dtype::U8 => Element::E8m0,
            _ => return None,
        })
    }
}

/// One f32 of a tensor.
#[inline(always)]
pub(super) fn element(kind: Element, bytes: &[u8], index: usize) -> f32 {
    let half = || [bytes[2 * index], bytes[2 * index + 1]];
    match kind {
        Element::F32 => {
            let at = &bytes[4 * index..][..4];
            f32::from_le_bytes([at[0], at[1], at[2], at[3]])
        }
        Element::F16 => f16::from_le_bytes(half()).to_f32(),
        Element::Bf16 => bf16::from_le_bytes(half()).to_f32(),
        Element::E4m3 => fp8_to_f32(bytes[index]),
        Element::E8m0 => exponent(bytes[index]),
    }
}

/// 2^(code − 127); the largest code is no number.
fn exponent(code: u8) -> f32 {
    match code {
        // Below the normal numbers.
        0 => f32::from_bits(1 << 22),
        0xff => f32::NAN,
        _ => f32::from_bits(u32::from(code) << 23),
    }
}

/// Where the scale of a group lies among the stored ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// `[rows / row_block, groups]`.
    RowMajor { row_block: usize, groups: usize },
    /// `[groups, rows]`.
    ColumnMajor { rows: usize },
    /// In the order of the groups, which run on from row to row.
    Flat,
}

/// What is computed of a stored scale.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// It is the scale.
    Itself,
    /// It is multiplied by this.
    Times(f32),
    /// It is divided by this.
    DividedBy(f32),
    /// It is a code of a map, to be scaled for each group of so many of them and moved by the mean of all.
    Nested { map: Vec<f32>, scales: StoredTensor, group: usize, offset: f32 },
}

/// The scales of a weight.
#[derive(Clone, Debug)]
pub(super) struct Scales {
    pub(super) tensor: StoredTensor,
    pub(super) element: Element,
    pub(super) order: Order,
    pub(super) meaning: Meaning,
}

impl Scales {
    /// The scale of a group of columns of a row; of [`Order::Flat`], of that group of all.
    #[inline]
    pub(super) fn at(&self, row: usize, group: usize) -> f32 {
        let index = match self.order {
            Order::RowMajor { row_block, groups } => row / row_block * groups + group,
            Order::ColumnMajor { rows } => group * rows + row,
            Order::Flat => group,
        };
        let bytes = self.tensor.bytes();
        match &self.meaning {
            Meaning::Itself => element(self.element, bytes, index),
            Meaning::Times(factor) => element(self.element, bytes, index) * factor,
            Meaning::DividedBy(divisor) => element(self.element, bytes, index) / divisor,
            Meaning::Nested { map, scales, group, offset } => {
                let scale = element(Element::F32, scales.bytes(), index / group);
                map[usize::from(bytes[index])] * scale + offset
            }
        }
    }

    /// The tensors that the scales are read from.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &StoredTensor> {
        let nested = match &self.meaning {
            Meaning::Nested { scales, .. } => Some(scales),
            _ => None,
        };
        [&self.tensor].into_iter().chain(nested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_as_they_are_written() {
        assert_eq!(element(Element::F32, &1.5f32.to_le_bytes(), 0), 1.5);
        assert_eq!(element(Element::F16, &[0, 0, 0x00, 0x3e], 1), 1.5);
        assert_eq!(element(Element::Bf16, &[0xc0, 0x3f], 0), 1.5);
        assert_eq!(element(Element::E4m3, &[0x3c], 0), 1.5);
        let powers = [0, 1, 127, 128, 254].map(|code: u8| element(Element::E8m0, &[code], 0));
        assert_eq!(powers, [-127, -126, 0, 1, 127].map(|power| 2f32.powi(power)));
        assert!(element(Element::E8m0, &[0xff], 0).is_nan());
    }
}
