//! Weights as GGUF stores them: plain, or in blocks of 32 with one scale in f16.

use half::f16;
use rayon::prelude::*;
use safetensors::Dtype;
use samp_abi::{Component, Format};
use samp_kernels::encoded::EncodedRef;
use samp_runtime::OpenPlan;

use super::super::{
    codes::{shifted_codes, zero_point},
    dense::{write_rows, write_values},
    encoding::{Encoding, OutputBytes, StoredPart},
    float_type::{FloatType, relative_error},
    rows::{WeightRows, source_row, unpacked, vector},
    weight::CheckpointWeight,
};
use crate::emit::EmitError;

/// Weights of a block.
const BLOCK: usize = 32;
/// Rows that are made at once.
const ROWS: usize = 1024;

/// A type of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain(FloatType),
    Q4_0,
    Q5_0,
    Q8_0,
}

impl Kind {
    /// Its number in files.
    pub(super) fn number(self) -> u32 {
        match self {
            Kind::Plain(FloatType::F32) => 0,
            Kind::Plain(FloatType::F16) => 1,
            Kind::Plain(FloatType::Bf16) => 30,
            Kind::Q4_0 => 2,
            Kind::Q5_0 => 6,
            Kind::Q8_0 => 8,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Plain(FloatType::F32) => "F32",
            Kind::Plain(FloatType::F16) => "F16",
            Kind::Plain(FloatType::Bf16) => "BF16",
            Kind::Q4_0 => "Q4_0",
            Kind::Q5_0 => "Q5_0",
            Kind::Q8_0 => "Q8_0",
        }
    }

    /// Bytes of so many weights, a multiple of a block's.
    fn bytes(self, weights: u64) -> u64 {
        let block = match self {
            Kind::Plain(of) => return weights * of.bytes() as u64,
            Kind::Q4_0 => 18,
            Kind::Q5_0 => 22,
            Kind::Q8_0 => 34,
        };
        weights / BLOCK as u64 * block
    }
}

/// A tensor of the file.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    /// As llama.cpp calls it.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Width of the heads whose rows lie in llama.cpp's own order.
    pub(super) head_dim: Option<u64>,
}

/// The type that holds a weight's very values, or that it is rounded to and why.
pub(super) fn kind_of(plan: &OpenPlan, weight: &CheckpointWeight) -> (Kind, Option<String>) {
    let wide = |why: &str| (Kind::Plain(FloatType::F16), Some(why.to_owned()));
    let Some([_, cols]) = weight.matrix() else {
        // llama.cpp wants norms and biases so; plans have them in f32.
        return (Kind::Plain(FloatType::F32), None);
    };
    let Some(format) = weight.format(plan.manifest()) else {
        return wide("its rows are in several formats, and a tensor has one");
    };
    if let Some(plain) = FloatType::of_plain(format) {
        return (Kind::Plain(plain), None);
    }
    match format {
        Format::Int4 { zero_point: false, .. } => (Kind::Q4_0, None),
        Format::Int4 { zero_point: true, .. } | Format::Int5 { .. } => (Kind::Q5_0, None),
        Format::Int6 { .. } => (Kind::Q8_0, None),
        Format::Int8 { outliers: false } if cols.is_multiple_of(BLOCK as u64) => {
            match int8_scales(plan, weight) {
                Scales::Exact => (Kind::Q8_0, None),
                Scales::Rounded => (Kind::Q8_0, Some("its scales are f32, those of Q8_0 are f16".into())),
                Scales::OutOfRange => wide("its scales lie beyond those of Q8_0, which are f16"),
            }
        }
        Format::Int8 { outliers: false } => wide("its rows are no multiple of 32 columns"),
        Format::Int8 { outliers: true } => wide("no type keeps columns apart"),
        Format::Fp8E4m3(_) => wide("no type has 8-bit floats with such scales"),
        _ => wide("no type has its table of 16 values"),
    }
}

/// How f16 holds the scales of rows.
enum Scales {
    Exact,
    Rounded,
    OutOfRange,
}

fn int8_scales(plan: &OpenPlan, weight: &CheckpointWeight) -> Scales {
    let tensors = unpacked(plan, weight);
    let rows = WeightRows::row_major(weight, &tensors);
    let mut found = Scales::Exact;
    for row in 0..rows.rows {
        let scale = row_scale(&rows, row);
        let near = f16::from_f32(scale);
        if !near.is_normal() {
            return Scales::OutOfRange;
        }
        if near.to_f32() != scale {
            found = Scales::Rounded;
        }
    }
    found
}

/// The f32 scale of a row.
fn row_scale(rows: &WeightRows<'_>, row: usize) -> f32 {
    let (tensor, at) = rows.locate(row);
    tensor.part_as::<f32>(Component::Scales)[at]
}

impl Encoding for Tensor {
    fn name(&self) -> String {
        self.kind.name().into()
    }

    fn float_type(&self) -> Option<FloatType> {
        None
    }

    fn parts(&self, weight: &CheckpointWeight) -> Vec<StoredPart> {
        let bytes = self.kind.bytes(weight.elements());
        vec![StoredPart { name: self.name.clone(), dtype: Dtype::U8, shape: vec![bytes] }]
    }

    fn write(
        &self,
        plan: &OpenPlan,
        weight: &CheckpointWeight,
        out: &mut OutputBytes,
    ) -> Result<f32, EmitError> {
        match (self.kind, weight.matrix()) {
            (Kind::Plain(to), None) => {
                let values = vector(plan, weight);
                let at = |index| self.head_dim.map_or(index, |width| source_row(index, width as usize));
                let values: Vec<f32> = (0..values.len()).map(|index| values[at(index)]).collect();
                write_values(to, &weight.name, &values, out)
            }
            (Kind::Plain(to), Some(_)) => {
                let rows = WeightRows::stored(plan, weight).turned(self.head_dim);
                write_rows(to, &weight.name, &rows, out)
            }
            _ => {
                let tensors = unpacked(plan, weight);
                let rows = WeightRows::row_major(weight, &tensors).turned(self.head_dim);
                self.write_blocks(&rows, out)
            }
        }
    }
}

impl Tensor {
    fn write_blocks(&self, rows: &WeightRows<'_>, out: &mut OutputBytes) -> Result<f32, EmitError> {
        for first in (0..rows.rows).step_by(ROWS) {
            let made = (first..rows.rows.min(first + ROWS)).into_par_iter().map(|row| {
                let (tensor, at) = rows.locate(row);
                self.blocks(tensor, at)
            });
            made.collect::<Vec<_>>().iter().try_for_each(|row| out.put(row))?;
        }
        let is_int8 = matches!(rows.locate(0).0.format, Format::Int8 { .. });
        let error = |row: usize| {
            let scale = row_scale(rows, row);
            relative_error(scale, f16::from_f32(scale).to_f32())
        };
        Ok(if is_int8 { (0..rows.rows).map(error).fold(0.0, f32::max) } else { 0.0 })
    }

    /// A row in blocks.
    fn blocks(&self, tensor: EncodedRef<'_>, row: usize) -> Vec<u8> {
        let cols = tensor.cols;
        let mut codes = vec![0; cols];
        shifted_codes(tensor, row, &mut codes);
        let group = tensor.format.group().map_or(cols, |group| group.size() as usize);
        let scale = |group_index: usize| match tensor.format.group() {
            Some(_) => tensor.part_as::<f16>(Component::Scales)[row * (cols / group) + group_index],
            None => f16::from_f32(tensor.part_as::<f32>(Component::Scales)[row]),
        };
        let mut bytes = vec![];
        for (index, block) in codes.chunks_exact_mut(BLOCK).enumerate() {
            let at = index * BLOCK / group;
            bytes.extend(scale(at).to_le_bytes());
            if let Some(zero) = zero_point(tensor, row, at) {
                block.iter_mut().for_each(|code| *code = *code + 16 - zero);
            }
            match self.kind {
                Kind::Q8_0 => {
                    let middle = 1u8 << (tensor.format.code_bits() - 1);
                    bytes.extend(block.iter().map(|code| code.wrapping_sub(middle)));
                }
                kind => {
                    if kind == Kind::Q5_0 {
                        let high =
                            block.iter().rev().fold(0u32, |bits, code| bits << 1 | u32::from(code >> 4));
                        bytes.extend(high.to_le_bytes());
                    }
                    let (low, high) = block.split_at(BLOCK / 2);
                    bytes.extend(low.iter().zip(high).map(|(low, high)| low & 15 | high << 4));
                }
            }
        }
        bytes
    }
}
