//! Models by their sizes.

use clap::ValueEnum;

/// Models that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(clippy::enum_variant_names, reason = "models are called so")]
pub enum BenchModel {
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
pub struct ModelShape {
    /// What the model is called in reports.
    pub name: &'static str,
    /// How many decoder layers it has.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Width between the projections of the MLP.
    pub intermediate: u32,
    /// Query heads of a layer.
    pub heads: u32,
    /// Key/value heads of a layer.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Tokens of the vocabulary.
    pub vocab: u32,
}

/// Sizes of a weight matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixShape {
    /// Output channels, which are the matrix's rows.
    pub rows: u32,
    /// Input channels, which are its columns.
    pub cols: u32,
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

impl BenchModel {
    /// The sizes that the model was published with.
    pub fn shape(self) -> ModelShape {
        let base = ModelShape {
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
            BenchModel::Llama3_8b => base,
            BenchModel::Llama3_70b => ModelShape {
                name: "llama-3-70b",
                layers: 80,
                hidden: 8192,
                intermediate: 28672,
                heads: 64,
                ..base
            },
            BenchModel::Tiny => ModelShape {
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

impl ModelShape {
    /// The weight of a linear.
    pub fn matrix(&self, projection: Projection) -> MatrixShape {
        let (hidden, heads) = (self.hidden, self.heads * self.head_dim);
        let (rows, cols) = match projection {
            Projection::Qkv => (heads + 2 * self.kv_heads * self.head_dim, hidden),
            Projection::O => (hidden, heads),
            Projection::GateUp => (2 * self.intermediate, hidden),
            Projection::Down => (hidden, self.intermediate),
            Projection::LmHead => (self.vocab, hidden),
        };
        MatrixShape { rows, cols }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_those_of_the_models() {
        let weights = |model: BenchModel| {
            let shape = model.shape();
            let of = |projection| {
                let MatrixShape { rows, cols } = shape.matrix(projection);
                u64::from(rows) * u64::from(cols)
            };
            let layer: u64 = Projection::ALL[..4].iter().map(|p| of(*p)).sum();
            layer * u64::from(shape.layers) + of(Projection::LmHead)
        };
        // Attention and MLP of 70B hold 12,079.6 M and 56,371.4 M weights.
        assert_eq!(weights(BenchModel::Llama3_70b), 12_079_595_520 + 56_371_445_760 + 1_050_673_152);
        assert_eq!(weights(BenchModel::Llama3_8b), 6_979_321_856 + 525_336_576);
    }
}
