//! The types that weights of a checkpoint are drawn in.

use half::{bf16, f16};
use safetensors::Dtype;
use samp_abi::ElementType;
use schemars::JsonSchema;
use serde::Serialize;

/// What the weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoredType {
    /// bfloat16, as the models were published.
    Bf16,
    /// IEEE binary16.
    F16,
}

samp_abi::named_enum! {
    StoredType, "type of weights", ParseStoredTypeError {
        (StoredType::Bf16) => "bf16",
        (StoredType::F16) => "f16",
    }
}

impl StoredType {
    /// The type among those of plans.
    pub(super) fn element(self) -> ElementType {
        match self {
            StoredType::Bf16 => ElementType::Bf16,
            StoredType::F16 => ElementType::F16,
        }
    }

    /// As headers of safetensors files say it.
    pub(super) fn stored(self) -> Dtype {
        match self {
            StoredType::Bf16 => Dtype::BF16,
            StoredType::F16 => Dtype::F16,
        }
    }

    /// The bits of the nearest value.
    pub(super) fn bits(self, value: f64) -> u16 {
        match self {
            StoredType::Bf16 => bf16::from_f64(value).to_bits(),
            StoredType::F16 => f16::from_f64(value).to_bits(),
        }
    }
}
