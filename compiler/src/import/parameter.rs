//! The tensors that the architecture has.

use super::config::ModelConfig;

/// The embedding's table in the checkpoint.
pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
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
        ("self_attn.q_proj", q, hidden, config.attention_bias),
        ("self_attn.k_proj", kv, hidden, config.attention_bias),
        ("self_attn.v_proj", kv, hidden, config.attention_bias),
        ("self_attn.o_proj", hidden, q, config.attention_bias),
        ("mlp.gate_proj", intermediate, hidden, config.mlp_bias),
        ("mlp.up_proj", intermediate, hidden, config.mlp_bias),
        ("mlp.down_proj", hidden, intermediate, config.mlp_bias),
    ];
    let mut parameters: Vec<Parameter> = ["input_layernorm", "post_attention_layernorm"]
        .map(|norm| Parameter::new(format!("layers.{layer}.{norm}"), &[hidden]))
        .into();
    for (name, rows, cols, bias) in linears {
        parameters.push(Parameter::new(format!("layers.{layer}.{name}"), &[rows, cols]));
        if bias {
            parameters.push(Parameter::new(format!("layers.{layer}.{name}.bias"), &[rows]));
        }
    }
    parameters
}
