//! What a plan weighs, by part of the model: the table behind `--dry-run`, `--budget` and the size claims.

use std::fmt;

mod bytes;

pub use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use crate::lower::spec::{PlanSpec, TensorSpec};

/// Bytes of a plan, known before any weight is read.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SizeTable {
    /// Parts of the model that have weights, in the order of [`PARTS`].
    pub parts: Vec<PartSize>,
    /// All weights with every scale.
    pub weights_bytes: u64,
    /// The activation arena.
    pub arena_bytes: u64,
    /// Keys and values of one token.
    pub kv_bytes_per_token: u64,
    /// Keys and values of all sequences at their longest.
    pub kv_bytes_at_limits: u64,
    /// Keys and values of one sequence at its longest.
    pub kv_bytes_of_one_sequence: u64,
    /// The least that running takes: weights, arena, and keys and values of one sequence at its longest.
    pub least_bytes_to_run: u64,
}

/// One part of the model.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PartSize {
    /// `embedding`, `attention`, `mlp`, `head`, or `norms and biases`.
    pub part: &'static str,
    /// Number of weights.
    pub weights: u64,
    /// Their formats, in order of appearance.
    pub formats: Vec<&'static str>,
    /// Stored bytes, scales counted.
    pub bytes: u64,
}

/// The parts, in table order.
pub const PARTS: [&str; 5] = ["embedding", "attention", "mlp", "head", "norms and biases"];

fn part_of(tensor: &TensorSpec) -> &'static str {
    let name = tensor.name.as_str();
    match name {
        _ if tensor.sources[0].shape.len() == 1 => PARTS[4],
        "embed_tokens" => PARTS[0],
        "lm_head" => PARTS[3],
        _ if name.contains(".self_attn.") => PARTS[1],
        _ => PARTS[2],
    }
}

impl SizeTable {
    /// The sizes of a plan.
    pub fn new(spec: &PlanSpec) -> SizeTable {
        let parts = PARTS.iter().filter_map(|&part| {
            let tensors: Vec<&TensorSpec> = spec.tensors.iter().filter(|t| part_of(t) == part).collect();
            let mut formats: Vec<&str> = vec![];
            for tensor in &tensors {
                if !formats.contains(&tensor.format.name()) {
                    formats.push(tensor.format.name());
                }
            }
            let weights = tensors.iter().map(|t| t.elements()).sum();
            let bytes = tensors.iter().map(|t| t.stored_bytes()).sum();
            (!tensors.is_empty()).then_some(PartSize { part, weights, formats, bytes })
        });
        let kv_bytes_per_token = spec.kv.bytes_per_token(&spec.model);
        let positions = spec.limits.max_sequences.saturating_mul(spec.limits.max_context);
        let weights_bytes: u64 = spec.tensors.iter().map(TensorSpec::stored_bytes).sum();
        let page = spec.kv.page_tokens.max(1);
        let one_sequence = spec.limits.max_context.div_ceil(page).saturating_mul(page);
        let kv_bytes_of_one_sequence = kv_bytes_per_token.saturating_mul(one_sequence);
        SizeTable {
            parts: parts.collect(),
            weights_bytes,
            arena_bytes: spec.arena_bytes,
            kv_bytes_per_token,
            kv_bytes_at_limits: kv_bytes_per_token.saturating_mul(positions),
            kv_bytes_of_one_sequence,
            least_bytes_to_run: weights_bytes
                .saturating_add(spec.arena_bytes)
                .saturating_add(kv_bytes_of_one_sequence),
        }
    }
}

impl fmt::Display for SizeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |part: &str, weights: &str, format: &str, bytes: u64| {
            writeln!(f, "{part:<17} {weights:>12}  {format:<18} {:>10}", Bytes(bytes).to_string())
        };
        for p in &self.parts {
            row(p.part, &millions(p.weights), &p.formats.join(" "), p.bytes)?;
        }
        row("all weights", &millions(self.parts.iter().map(|p| p.weights).sum()), "", self.weights_bytes)?;
        row("activation arena", "", "", self.arena_bytes)?;
        row(
            "KV cache",
            "at limits",
            &format!("{} B a token", self.kv_bytes_per_token),
            self.kv_bytes_at_limits,
        )?;
        row("KV cache", "one sequence", "", self.kv_bytes_of_one_sequence)?;
        row("least to run", "", "", self.least_bytes_to_run)
    }
}

/// A number of weights.
fn millions(weights: u64) -> String {
    format!("{:.1} M", weights as f64 / 1e6)
}
