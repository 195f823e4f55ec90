//! What the plan says of the model, its batch limits and its KV cache.

use serde::{Deserialize, Serialize};

use crate::Format;

/// Model families that samp compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Architecture {
    /// Llama 1 to 3.3.
    LlamaForCausalLM,
    /// Mistral, with its sliding window.
    MistralForCausalLM,
    /// Qwen 2 and 2.5: biases of queries, keys and values, and windows in the upper layers where they are asked for.
    Qwen2ForCausalLM,
    /// Qwen 3: a norm of each head of queries and keys.
    Qwen3ForCausalLM,
    /// Phi-3, 3.5 and 4-mini: a part of each head is turned, by frequencies that follow the context.
    Phi3ForCausalLM,
    /// Granite 3 and 4 without experts or state spaces: multipliers.
    GraniteForCausalLM,
    /// SmolLM 3: layers that turn neither queries nor keys.
    SmolLM3ForCausalLM,
    /// Ministral: layers with and without a window.
    MinistralForCausalLM,
}

/// Shape and constants of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The model family, which decides how its layers are built.
    pub architecture: Architecture,
    /// Width of the residual stream.
    pub hidden_size: u64,
    /// Width of the MLP.
    pub intermediate_size: u64,
    /// Number of decoder layers.
    pub layers: u64,
    /// Heads of queries in each layer.
    pub heads: u64,
    /// Key/value heads; divides `heads`.
    pub kv_heads: u64,
    /// Width of one head; even.
    pub head_dim: u64,
    /// How many tokens the vocabulary has.
    pub vocab_size: u64,
    /// Rotary position embedding.
    pub rope: Rope,
    /// Attention sees the last so many positions (the current one counted), or all.
    pub sliding_window: Option<u64>,
    /// Layers whose attention sees every position although the others have a window, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub full_attention_layers: Vec<u64>,
    /// Layers that turn neither queries nor keys, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unturned_layers: Vec<u64>,
    /// What rows of the embedding are multiplied by as they are looked up.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub embedding_scale: f64,
    /// Whether the head is the embedding's own tensor.
    pub tied_embeddings: bool,
    /// Token that starts a text, if the model has one.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
}

impl Model {
    /// How many of the last positions the attention of a layer sees; `None` for all.
    pub fn window(&self, layer: u64) -> Option<u64> {
        self.sliding_window.filter(|_| self.full_attention_layers.binary_search(&layer).is_err())
    }

    /// What a layer turns queries and keys by: [`Rope::inv_frequencies`], or nothing.
    pub fn inv_frequencies(&self, layer: u64) -> &[f64] {
        match self.unturned_layers.binary_search(&layer) {
            Ok(_) => &[],
            Err(_) => &self.rope.inv_frequencies,
        }
    }
}

/// Rotary position embedding with all scaling already applied: of each head, channel pair `i` of `n` (the pair is channels `i`
/// and `i + n`) turns by `position · inv_frequencies[i]` radians and is multiplied by `scale`; channels from `2n` on stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rope {
    /// Radians per position, one for each channel pair.
    pub inv_frequencies: Vec<f64>,
    /// Channels of a head that are turned, two for each frequency; all where it is not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotary_dim: Option<u64>,
    /// What turned channels are multiplied by.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub scale: f64,
}

fn one() -> f64 {
    1.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(scale: &f64) -> bool {
    *scale == 1.0
}

/// The largest step that the memory plan covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Tokens in one step, over all sequences.
    pub max_tokens: u64,
    /// Sequences alive at once.
    pub max_sequences: u64,
    /// Positions of one sequence.
    pub max_context: u64,
}

/// How keys and values are kept: pages of `page_tokens` positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KvCache {
    /// `f32`, `f16`, or `fp8_e4m3_tensor` with one scale for keys and one for values in each layer.
    pub format: Format,
    /// Positions in a page.
    pub page_tokens: u64,
    /// Key and value scale of each layer; empty unless fp8.
    pub scales: Vec<[f32; 2]>,
}

impl KvCache {
    /// Bytes that keys and values of one token take over all layers of `model`.
    pub fn bytes_per_token(&self, model: &Model) -> u64 {
        2 * model.layers * model.kv_heads * model.head_dim * self.format.code_bits() / 8
    }
}
