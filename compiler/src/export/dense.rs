//! Weights as plain values: decoded, and rounded to 16 bits where that is wanted.

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;
use samp_abi::{ElementType, Format};
use samp_kernels::format::EncodeError;
use samp_runtime::OpenPlan;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    encoding::{Encoding, OutputBytes, StoredPart},
    rows::{WeightRows, vector},
    weight::CheckpointWeight,
};
use crate::emit::EmitError;

/// Values that are decoded at once.
const PIECE: usize = 1 << 22;

/// A float type that checkpoints store weights in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FloatType {
    /// IEEE binary32.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE binary16.
    F16,
}

samp_abi::named_enum! {
    FloatType, "float type", ParseFloatTypeError {
        (FloatType::F32) => "f32",
        (FloatType::Bf16) => "bf16",
        (FloatType::F16) => "f16",
    }
}

impl FloatType {
    /// The type that plain values of a format are in; `None` of codes.
    pub(super) fn of_plain(format: Format) -> Option<FloatType> {
        match format.plain()? {
            ElementType::F16 => Some(FloatType::F16),
            ElementType::Bf16 => Some(FloatType::Bf16),
            _ => Some(FloatType::F32),
        }
    }

    /// As torch calls it.
    pub(super) fn torch_name(self) -> &'static str {
        match self {
            FloatType::F32 => "float32",
            FloatType::Bf16 => "bfloat16",
            FloatType::F16 => "float16",
        }
    }

    pub(super) fn stored(self) -> Dtype {
        match self {
            FloatType::F32 => Dtype::F32,
            FloatType::Bf16 => Dtype::BF16,
            FloatType::F16 => Dtype::F16,
        }
    }

    fn format(self) -> Format {
        match self {
            FloatType::F32 => Format::F32,
            FloatType::Bf16 => Format::Bf16,
            FloatType::F16 => Format::F16,
        }
    }

    pub(super) fn bytes(self) -> usize {
        self.stored().bitsize() / 8
    }

    /// Rounds each value to the nearest into `bytes`; gives the largest relative error, or the first value that is too large.
    fn round(self, values: &[f32], bytes: &mut [u8]) -> Result<f32, usize> {
        let mut largest = 0.0f32;
        for ((index, &value), out) in values.iter().enumerate().zip(bytes.chunks_exact_mut(self.bytes())) {
            let back = match self {
                FloatType::F32 => {
                    out.copy_from_slice(&value.to_le_bytes());
                    continue;
                }
                FloatType::Bf16 => {
                    let near = bf16::from_f32(value);
                    out.copy_from_slice(&near.to_le_bytes());
                    near.to_f32()
                }
                FloatType::F16 => {
                    let near = f16::from_f32(value);
                    out.copy_from_slice(&near.to_le_bytes());
                    near.to_f32()
                }
            };
            if !back.is_finite() {
                return Err(index);
            }
            largest = largest.max(relative_error(value, back));
        }
        Ok(largest)
    }
}

/// How far `found` is from `value`, relative to it.
pub(super) fn relative_error(value: f32, found: f32) -> f32 {
    if value == found { 0.0 } else { ((f64::from(found) - f64::from(value)) / f64::from(value)).abs() as f32 }
}

/// Plain values of one type.
pub(super) struct Dense(pub(super) FloatType);

impl Encoding for Dense {
    fn name(&self) -> String {
        self.0.name().into()
    }

    fn float_type(&self) -> Option<FloatType> {
        Some(self.0)
    }

    fn parts(&self, weight: &CheckpointWeight) -> Vec<StoredPart> {
        vec![StoredPart { name: weight.name.clone(), dtype: self.0.stored(), shape: weight.shape.clone() }]
    }

    fn write(
        &self,
        plan: &OpenPlan,
        weight: &CheckpointWeight,
        out: &mut OutputBytes,
    ) -> Result<f32, EmitError> {
        match weight.matrix() {
            Some(_) => write_rows(self.0, &weight.name, &WeightRows::stored(plan, weight), out),
            None => write_values(self.0, &weight.name, &vector(plan, weight), out),
        }
    }
}

/// Writes a vector.
pub(super) fn write_values(
    to: FloatType,
    name: &str,
    values: &[f32],
    out: &mut OutputBytes,
) -> Result<f32, EmitError> {
    let mut bytes = vec![0; values.len() * to.bytes()];
    let error = to.round(values, &mut bytes).map_err(|at| overflow(to, name, (0, at, values[at])))?;
    out.put(&bytes)?;
    Ok(error)
}

/// Decodes and writes a matrix, some rows at a time.
pub(super) fn write_rows(
    to: FloatType,
    name: &str,
    rows: &WeightRows<'_>,
    out: &mut OutputBytes,
) -> Result<f32, EmitError> {
    let cols = rows.cols;
    let at_once = (PIECE / cols).clamp(1, rows.rows);
    let mut values = vec![0.0f32; at_once * cols];
    let mut bytes = vec![0; values.len() * to.bytes()];
    let mut largest = 0.0f32;
    for first in (0..rows.rows).step_by(at_once) {
        let count = at_once.min(rows.rows - first);
        let row = |(row, (values, bytes)): (usize, (&mut [f32], &mut [u8]))| {
            rows.decode(first + row, values);
            to.round(values, bytes).map_err(|col| (first + row, col, values[col]))
        };
        let values = values[..count * cols].par_chunks_mut(cols);
        let bytes_of = cols * to.bytes();
        let outputs = values.zip(bytes[..count * bytes_of].par_chunks_mut(bytes_of)).enumerate();
        let errors: Result<Vec<f32>, _> = outputs.map(row).collect();
        let errors = errors.map_err(|place| overflow(to, name, place))?;
        largest = errors.into_iter().fold(largest, f32::max);
        out.put(&bytes[..count * bytes_of])?;
    }
    Ok(largest)
}

fn overflow(to: FloatType, name: &str, (row, col, value): (usize, usize, f32)) -> EmitError {
    let source = EncodeError::Overflow { format: to.format(), row, col, value };
    EmitError::Encode { tensor: name.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_to_the_nearest_and_the_error_is_the_largest() {
        let values = [1.0, 0.0, -1.0 - 1.0 / 4096.0, 3.0];
        let mut bytes = [0; 8];
        assert_eq!(FloatType::F16.round(&values, &mut bytes), Ok(1.0 / 4097.0));
        assert_eq!(bytes[..4], [0x00, 0x3c, 0, 0]);
        assert_eq!(FloatType::F16.round(&[1.0, 7e4], &mut bytes[..4]), Err(1));
        assert_eq!(FloatType::Bf16.round(&[1.5, 7e4], &mut bytes[..4]), Ok(144.0 / 7e4));
        let mut wide = [0; 4];
        assert_eq!(FloatType::F32.round(&[0.1], &mut wide), Ok(0.0));
        assert_eq!(wide, 0.1f32.to_le_bytes());
        // What becomes zero has lost all of itself.
        assert_eq!(FloatType::F16.round(&[1e-9], &mut bytes[..2]), Ok(1.0));
    }
}
