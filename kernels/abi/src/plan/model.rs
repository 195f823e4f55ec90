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
    /// Whether the head is the embedding's own tensor.
    pub tied_embeddings: bool,
    /// Token that starts a text, if the model has one.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
}

/// Rotary position embedding with all scaling already applied: channel pair `i` of `head_dim / 2` (the pair is
/// channels `i` and `i + head_dim / 2`) turns by `position · inv_frequencies[i]` radians.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rope {
    /// Radians per position, one for each channel pair.
    pub inv_frequencies: Vec<f64>,
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
