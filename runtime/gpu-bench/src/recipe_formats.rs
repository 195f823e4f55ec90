//! How the weights of measured models are stored.

use std::str::FromStr;

use samp_abi::{ElementType, Format, ParseFormatError, ScaleAxis};
use samp_kernels::target::Target;

use crate::model_shape::Projection;

/// Formats of a decoder's linears. Embedding and head are f16, or bf16 beside bf16, with which f16 does not go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipeFormats {
    /// Of the attention's linears.
    pub attention: Format,
    /// Of the MLP's linears.
    pub mlp: Format,
}

/// A recipe that no model is measured with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// It is neither of the two kinds.
    #[error("expected `samp` or `uniform:FORMAT`")]
    Unknown,
    /// Its format does not exist.
    #[error(transparent)]
    Format(#[from] ParseFormatError),
}

impl RecipeFormats {
    /// One format for all.
    pub fn uniform(format: Format) -> RecipeFormats {
        RecipeFormats { attention: format, mlp: format }
    }

    /// The format of a linear's weight.
    pub fn weight_format(&self, projection: Projection) -> Format {
        match projection {
            Projection::Qkv | Projection::O => self.attention,
            Projection::GateUp | Projection::Down => self.mlp,
            Projection::LmHead => self.table_format(),
        }
    }

    /// The format of embedding and head.
    pub fn table_format(&self) -> Format {
        let bf16 = [self.attention, self.mlp].contains(&Format::Bf16);
        if bf16 { Format::Bf16 } else { Format::F16 }
    }

    /// What a model's activations are stored as.
    pub fn activations(&self, target: &Target) -> ElementType {
        target.activations_beside(&[self.attention, self.mlp])
    }
}

impl FromStr for RecipeFormats {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<RecipeFormats, RecipeError> {
        if text == "samp" {
            return Ok(RecipeFormats { attention: Format::Fp8E4m3(ScaleAxis::Channel), mlp: Format::Nf4 });
        }
        let name = text.strip_prefix("uniform:").ok_or(RecipeError::Unknown)?;
        Ok(RecipeFormats::uniform(name.parse()?))
    }
}

#[cfg(test)]
mod tests {
    use samp_abi::TargetName;

    use super::*;

    #[test]
    fn recipes_are_read() {
        let samp: RecipeFormats = "samp".parse().unwrap();
        let name = |projection| samp.weight_format(projection).name();
        assert_eq!((name(Projection::O), name(Projection::Down)), ("fp8_e4m3", "nf4"));
        let f16: RecipeFormats = "uniform:f16".parse().unwrap();
        assert_eq!(f16.weight_format(Projection::Down), Format::F16);
        let bf16: RecipeFormats = "uniform:bf16".parse().unwrap();
        assert_eq!(bf16.weight_format(Projection::LmHead), Format::Bf16);
        assert_eq!(bf16.activations(Target::of(TargetName::H200)), ElementType::Bf16);
        assert!("uniform:f17".parse::<RecipeFormats>().is_err());
        assert!("f16".parse::<RecipeFormats>().unwrap_err().to_string().contains("uniform"));
    }
}
