//! The tensors that the architecture has.

use samp_abi::plan::Model;

use super::config::ModelConfig;

/// The embedding's table in the checkpoint.
pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
/// The last norm's weight in the checkpoint.
pub(super) const NORM: &str = "model.norm.weight";
/// The head's weight in the checkpoint.
pub(super) const HEAD: &str = "lm_head.weight";

/// A tensor of the architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the graph and in recipes, such as `layers.0.self_attn.q_proj`.
    pub key: String,
    /// Its name in the checkpoint, such as `model.layers.0.self_attn.q_proj.weight`.
    pub source: String,
    /// `[rows, cols]`, or `[cols]` of a vector.
    pub shape: Vec<u64>,
}

impl Parameter {
    fn new(key: String, shape: &[u64]) -> Parameter {
        let tensor = if key.ends_with(".bias") { key.clone() } else { format!("{key}.weight") };
        let source = if key == "lm_head" { tensor } else { format!("model.{tensor}") };
        Parameter { key, source, shape: shape.to_vec() }
    }
}

/// Projections that Phi-3 stores as one tensor, with the modules whose rows lie in it, in order, and how many.
pub(crate) fn joined(model: &Model) -> [(&'static str, Vec<(&'static str, u64)>); 2] {
    let (queries, keys) = (model.heads * model.head_dim, model.kv_heads * model.head_dim);
    let mlp = model.intermediate_size;
    [
        (
            "self_attn.qkv_proj",
            vec![("self_attn.q_proj", queries), ("self_attn.k_proj", keys), ("self_attn.v_proj", keys)],
        ),
        ("mlp.gate_up_proj", vec![("mlp.gate_proj", mlp), ("mlp.up_proj", mlp)]),
    ]
}

/// Every tensor of the model, layer by layer. A tied head has none of its own.
pub fn parameters(config: &ModelConfig) -> Vec<Parameter> {
    let model = &config.model;
    let mut parameters = vec![Parameter::new("embed_tokens".into(), &[model.vocab_size, model.hidden_size])];
    for layer in 0..model.layers {
        parameters.extend(layer_parameters(config, layer));
    }
    parameters.push(Parameter::new("norm".into(), &[model.hidden_size]));
    if !model.tied_embeddings {
        parameters.push(Parameter::new("lm_head".into(), &[model.vocab_size, model.hidden_size]));
    }
    parameters
}

fn layer_parameters(config: &ModelConfig, layer: u64) -> Vec<Parameter> {
    let model = &config.model;
    let (hidden, intermediate) = (model.hidden_size, model.intermediate_size);
    let (q, kv) = (model.heads * model.head_dim, model.kv_heads * model.head_dim);
    let linears = [
        ("self_attn.q_proj", q, hidden, config.qkv_bias),
        ("self_attn.k_proj", kv, hidden, config.qkv_bias),
        ("self_attn.v_proj", kv, hidden, config.qkv_bias),
        ("self_attn.o_proj", hidden, q, config.output_bias),
        ("mlp.gate_proj", intermediate, hidden, config.mlp_bias),
        ("mlp.up_proj", intermediate, hidden, config.mlp_bias),
        ("mlp.down_proj", hidden, intermediate, config.mlp_bias),
    ];
    let mut parameters: Vec<Parameter> = ["input_layernorm", "post_attention_layernorm"]
        .map(|norm| Parameter::new(format!("layers.{layer}.{norm}"), &[hidden]))
        .into();
    if config.head_norms {
        parameters.extend(
            ["self_attn.q_norm", "self_attn.k_norm"]
                .map(|norm| Parameter::new(format!("layers.{layer}.{norm}"), &[model.head_dim])),
        );
    }
    for (name, rows, cols, bias) in linears {
        parameters.push(Parameter::new(format!("layers.{layer}.{name}"), &[rows, cols]));
        if bias {
            parameters.push(Parameter::new(format!("layers.{layer}.{name}.bias"), &[rows]));
        }
    }
    parameters
}
