//! Whose shapes checkpoints are made in, and their `config.json`.

use serde_json::{Value, json};

use super::stored_type::StoredType;

/// Standard deviation of weights before training, which Llama's configurations state as `initializer_range`: activations
/// stay near one through any number of layers.
pub(super) const INITIAL_DEVIATION: f64 = 0.02;

/// The most layers that a checkpoint can be asked for: those that import takes.
pub const MAX_LAYERS: u64 = 1024;

/// Models whose shapes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointShape {
    /// Llama 3.2 with one billion weights, its head tied to its embedding.
    Llama32With1B,
    /// Llama 3 with eight billion weights.
    Llama3With8B,
    /// Two small layers, for tests.
    Tiny,
}

samp_abi::named_enum! {
    CheckpointShape, "shape", ParseShapeError {
        (CheckpointShape::Llama32With1B) => "llama-3.2-1b",
        (CheckpointShape::Llama3With8B) => "llama-3-8b",
        (CheckpointShape::Tiny) => "tiny",
    }
}

/// What tells one shape from another.
struct Sizes {
    layers: u64,
    hidden: u64,
    intermediate: u64,
    heads: u64,
    kv_heads: u64,
    vocab: u64,
    context: u64,
    tied: bool,
    rope_scaling: Value,
    /// The tokens that begin and end a text.
    ends: [u64; 2],
}

impl CheckpointShape {
    /// `config.json` of the shape, with so many layers in place of its own.
    pub fn config(self, layers: Option<u64>, dtype: StoredType) -> Value {
        let sizes = self.sizes();
        json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "torch_dtype": match dtype { StoredType::Bf16 => "bfloat16", StoredType::F16 => "float16" },
            "num_hidden_layers": layers.unwrap_or(sizes.layers),
            "hidden_size": sizes.hidden,
            "intermediate_size": sizes.intermediate,
            "num_attention_heads": sizes.heads,
            "num_key_value_heads": sizes.kv_heads,
            "head_dim": sizes.hidden / sizes.heads,
            "vocab_size": sizes.vocab,
            "tie_word_embeddings": sizes.tied,
            "max_position_embeddings": sizes.context,
            "rope_theta": 500_000.0,
            "rope_scaling": sizes.rope_scaling,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "attention_bias": false,
            "mlp_bias": false,
            "initializer_range": INITIAL_DEVIATION,
            "bos_token_id": sizes.ends[0],
            "eos_token_id": sizes.ends[1],
        })
    }

    fn sizes(self) -> Sizes {
        let llama_3 = Sizes {
            layers: 32,
            hidden: 4096,
            intermediate: 14336,
            heads: 32,
            kv_heads: 8,
            vocab: 128_256,
            context: 8192,
            tied: false,
            rope_scaling: Value::Null,
            ends: [128_000, 128_001],
        };
        match self {
            CheckpointShape::Llama3With8B => llama_3,
            CheckpointShape::Llama32With1B => Sizes {
                layers: 16,
                hidden: 2048,
                intermediate: 8192,
                context: 131_072,
                tied: true,
                rope_scaling: json!({
                    "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 8192,
                }),
                ..llama_3
            },
            CheckpointShape::Tiny => Sizes {
                layers: 2,
                hidden: 128,
                intermediate: 256,
                heads: 4,
                kv_heads: 2,
                vocab: 512,
                context: 2048,
                ends: [510, 511],
                ..llama_3
            },
        }
    }
}
