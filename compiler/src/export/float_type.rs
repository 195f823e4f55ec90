//! The float types of checkpoints, and rounding to them.

use half::{bf16, f16};
use safetensors::Dtype;
use samp_abi::{ElementType, Format};
use schemars::JsonSchema;
use serde::Serialize;

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

    pub(super) fn format(self) -> Format {
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
    pub(super) fn round(self, values: &[f32], bytes: &mut [u8]) -> Result<f32, usize> {
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
