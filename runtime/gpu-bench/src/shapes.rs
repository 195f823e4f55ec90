//! Models by their sizes, and how their weights are stored.

use std::str::FromStr;

use clap::ValueEnum;
use samp_abi::{ElementType, Format, ScaleAxis};
use samp_kernels::target::Target;

/// Models whose shapes are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(clippy::enum_variant_names, reason = "models are called so")]
pub enum Shape {
    /// Llama 3 with 8 billion weights.
    #[value(name = "llama-3-8b")]
    Llama3_8b,
    /// Llama 3 with 70 billion weights.
    #[value(name = "llama-3-70b")]
    Llama3_70b,
    /// Two small layers, for tests.
    #[value(name = "tiny", hide = true)]
    Tiny,
}

/// Sizes of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Its name.
    pub name: &'static str,
    /// Decoder layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Width between the projections of the MLP.
    pub intermediate: u32,
    /// Query heads.
    pub heads: u32,
    /// Key/value heads.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Tokens known.
    pub vocab: u32,
}

/// The linears of a layer as the compiler fuses them, and the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "they are called as in checkpoints")]
pub enum Projection {
    Qkv,
    O,
    GateUp,
    Down,
    LmHead,
}

impl Projection {
    /// Every projection, as data goes.
    pub const ALL: [Projection; 5] =
        [Projection::Qkv, Projection::O, Projection::GateUp, Projection::Down, Projection::LmHead];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Projection::Qkv => "qkv",
            Projection::O => "o",
            Projection::GateUp => "gate_up",
            Projection::Down => "down",
            Projection::LmHead => "lm_head",
        }
    }

    /// What its steps are called in programs, behind the layer.
    pub fn label(self) -> &'static str {
        match self {
            Projection::Qkv => "self_attn.qkv_proj",
            Projection::O => "self_attn.o_proj",
            Projection::GateUp => "mlp.gate_up_proj",
            Projection::Down => "mlp.down_proj",
            Projection::LmHead => "lm_head",
        }
    }
}

impl Shape {
    /// Its sizes.
    pub fn sizes(self) -> Sizes {
        let base = Sizes {
            name: "llama-3-8b",
            layers: 32,
            hidden: 4096,
            intermediate: 14336,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            vocab: 128_256,
        };
        match self {
            Shape::Llama3_8b => base,
            Shape::Llama3_70b => Sizes {
                name: "llama-3-70b",
                layers: 80,
                hidden: 8192,
                intermediate: 28672,
                heads: 64,
                ..base
            },
            Shape::Tiny => Sizes {
                name: "tiny",
                layers: 2,
                hidden: 128,
                intermediate: 192,
                heads: 4,
                kv_heads: 2,
                head_dim: 32,
                vocab: 100,
            },
        }
    }
}

impl Sizes {
    /// Rows and columns of a linear.
    pub fn of(&self, projection: Projection) -> (u32, u32) {
        let heads = self.heads * self.head_dim;
        match projection {
            Projection::Qkv => (heads + 2 * self.kv_heads * self.head_dim, self.hidden),
            Projection::O => (self.hidden, heads),
            Projection::GateUp => (2 * self.intermediate, self.hidden),
            Projection::Down => (self.hidden, self.intermediate),
            Projection::LmHead => (self.vocab, self.hidden),
        }
    }
}

/// Formats of a decoder's linears. Embedding and head are f16, or bf16 beside bf16, with which f16 does not go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Of the attention's linears.
    pub attention: Format,
    /// Of the MLP's.
    pub mlp: Format,
}

impl Recipe {
    /// One format for all.
    pub fn uniform(format: Format) -> Recipe {
        Recipe { attention: format, mlp: format }
    }

    /// The format of a linear.
    pub fn of(&self, projection: Projection) -> Format {
        match projection {
            Projection::Qkv | Projection::O => self.attention,
            Projection::GateUp | Projection::Down => self.mlp,
            Projection::LmHead => self.tables(),
        }
    }

    /// The format of embedding and head.
    pub fn tables(&self) -> Format {
        let bf16 = [self.attention, self.mlp].contains(&Format::Bf16);
        if bf16 { Format::Bf16 } else { Format::F16 }
    }

    /// What a model's activations are stored as.
    pub fn activations(&self, target: &Target) -> ElementType {
        target.activations_beside(&[self.attention, self.mlp])
    }
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Recipe, String> {
        if text == "samp" {
            return Ok(Recipe { attention: Format::Fp8E4m3(ScaleAxis::Channel), mlp: Format::Nf4 });
        }
        let name = text.strip_prefix("uniform:").ok_or("expected `samp` or `uniform:FORMAT`")?;
        let format: Format = name.parse().map_err(|error| format!("{error}"))?;
        Ok(Recipe::uniform(format))
    }
}

#[cfg(test)]
mod tests {
    use samp_abi::TargetName;

    use super::*;

    #[test]
    fn shapes_are_those_of_the_models() {
        let weights = |shape: Shape| {
            let sizes = shape.sizes();
            let of = |projection| {
                let (rows, cols) = sizes.of(projection);
                u64::from(rows) * u64::from(cols)
            };
            let layer: u64 = Projection::ALL[..4].iter().map(|p| of(*p)).sum();
            layer * u64::from(sizes.layers) + of(Projection::LmHead)
        };
        // Attention and MLP of 70B hold 12,079.6 M and 56,371.4 M weights.
        assert_eq!(weights(Shape::Llama3_70b), 12_079_595_520 + 56_371_445_760 + 1_050_673_152);
        assert_eq!(weights(Shape::Llama3_8b), 6_979_321_856 + 525_336_576);
    }

    #[test]
    fn recipes_are_read() {
        let samp: Recipe = "samp".parse().unwrap();
        assert_eq!((samp.of(Projection::O).name(), samp.of(Projection::Down).name()), ("fp8_e4m3", "nf4"));
        assert_eq!("uniform:f16".parse::<Recipe>().unwrap().of(Projection::Down), Format::F16);
        let (bf16, h200): (Recipe, _) = ("uniform:bf16".parse().unwrap(), Target::of(TargetName::H200));
        assert_eq!((bf16.of(Projection::LmHead), bf16.activations(h200)), (Format::Bf16, ElementType::Bf16));
        assert!("uniform:f17".parse::<Recipe>().is_err());
        assert!("f16".parse::<Recipe>().unwrap_err().contains("uniform"));
    }
}
