//! The `config.json` that a GGUF file's metadata amounts to.

use std::f64::consts::TAU;

use samp_ir::Diagnostic;
use serde_json::{Value, json};

use super::metadata::Metadata;

/// An architecture of llama.cpp that is one of transformers'.
pub(crate) struct GgufArchitecture {
    /// What `general.architecture` says, and what its keys begin with.
    pub(crate) name: &'static str,
    class: &'static str,
    model_type: &'static str,
    /// Whether the rows of queries and keys lie in llama.cpp's own order.
    pub(crate) turned: bool,
    /// Keys that no other architecture has, and what transformers calls them.
    pub(crate) numbers: &'static [(&'static str, &'static str)],
}

const GRANITE: &[(&str, &str)] = &[
    ("attention.scale", "attention_multiplier"),
    ("embedding_scale", "embedding_multiplier"),
    ("logit_scale", "logits_scaling"),
    ("residual_scale", "residual_multiplier"),
];

const LLAMA: GgufArchitecture = GgufArchitecture {
    name: "llama",
    class: "LlamaForCausalLM",
    model_type: "llama",
    turned: true,
    numbers: &[],
};

static ARCHITECTURES: [GgufArchitecture; 5] = [
    LLAMA,
    GgufArchitecture {
        name: "qwen2",
        class: "Qwen2ForCausalLM",
        model_type: "qwen2",
        turned: false,
        ..LLAMA
    },
    GgufArchitecture {
        name: "qwen3",
        class: "Qwen3ForCausalLM",
        model_type: "qwen3",
        turned: false,
        ..LLAMA
    },
    GgufArchitecture {
        name: "granite",
        class: "GraniteForCausalLM",
        model_type: "granite",
        numbers: GRANITE,
        ..LLAMA
    },
    GgufArchitecture { name: "smollm3", class: "SmolLM3ForCausalLM", model_type: "smollm3", ..LLAMA },
];

/// The architecture that a file says it is of.
pub(super) fn architecture(meta: &Metadata<'_>) -> Result<&'static GgufArchitecture, Diagnostic> {
    let found = meta.text("general.architecture")?.unwrap_or_default();
    gguf_architecture(found).ok_or_else(|| {
        let names: Vec<&str> = ARCHITECTURES.iter().map(|known| known.name).collect();
        meta.unsupported(format!(
            "`general.architecture`: expected one of {}, found {found:?}; Mistral's files have llama, too",
            names.join(", ")
        ))
    })
}

/// The architecture of a name.
pub(crate) fn gguf_architecture(name: &str) -> Option<&'static GgufArchitecture> {
    ARCHITECTURES.iter().find(|known| known.name == name)
}

/// Keys after the architecture's name that are read, or that say what the tensors say anyway.
const KNOWN: &[&str] = &[
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "expert_count",
    "expert_used_count",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "vocab_size",
];

/// What the tensors say of the model.
pub(super) struct TensorFacts<'a> {
    /// Rows of the embedding.
    pub(super) vocabulary: u64,
    pub(super) has_head: bool,
    pub(super) has_attention_bias: bool,
    pub(super) has_mlp_bias: bool,
    /// What the wave of each pair is stretched by, where the file says so.
    pub(super) rope_factors: Option<&'a [f32]>,
}

/// The configuration, as transformers would write it.
pub(super) fn config(meta: &Metadata<'_>, facts: &TensorFacts<'_>) -> Result<Value, Diagnostic> {
    let GgufArchitecture { name, class, model_type, numbers, .. } = architecture(meta)?;
    let key = |key: &str| format!("{name}.{key}");
    let is_known = |of: &str| KNOWN.contains(&of) || numbers.iter().any(|(known, _)| *known == of);
    let unknown: Vec<&str> = meta
        .values
        .keys()
        .filter(|key| {
            key.strip_prefix(name).and_then(|key| key.strip_prefix('.')).is_some_and(|key| !is_known(key))
        })
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        return Err(
            meta.unsupported(format!("expected only keys that samp knows, found `{}`", unknown.join("`, `")))
        );
    }
    let experts = key("expert_count");
    if meta.integer(&experts)?.unwrap_or(0) > 0 {
        return Err(meta.unsupported(format!("`{experts}`: expected 0, found a mixture of experts")));
    }
    let number = |of: &str| meta.required(&key(of));
    let (hidden, heads) = (number("embedding_length")?, number("attention.head_count")?);
    let head_dim = match meta.integer(&key("attention.key_length"))? {
        Some(length) => length,
        None => hidden.checked_div(heads).unwrap_or(0),
    };
    let theta = meta.float(&key("rope.freq_base"))?.unwrap_or(10_000.0);
    same(meta, &key("rope.dimension_count"), head_dim)?;
    same(meta, &key("attention.value_length"), head_dim)?;
    let eps = meta.float(&key("attention.layer_norm_rms_epsilon"))?;
    let mut config = json!({
        "architectures": [class],
        "model_type": model_type,
        "hidden_act": "silu",
        "attention_bias": facts.has_attention_bias,
        "mlp_bias": facts.has_mlp_bias,
        "hidden_size": hidden,
        "intermediate_size": number("feed_forward_length")?,
        "num_hidden_layers": number("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": meta.integer(&key("attention.head_count_kv"))?.unwrap_or(heads),
        "head_dim": head_dim,
        "vocab_size": facts.vocabulary,
        "max_position_embeddings": number("context_length")?,
        "rms_norm_eps": eps,
        "rope_theta": theta,
        "rope_scaling": rope_scaling(meta, &key("rope.scaling"), facts.rope_factors, (theta, head_dim))?,
        "tie_word_embeddings": !facts.has_head,
        "bos_token_id": meta.integer("tokenizer.ggml.bos_token_id")?,
        "eos_token_id": meta.integer("tokenizer.ggml.eos_token_id")?,
    });
    for (found, called) in *numbers {
        config[called] = meta.float(&key(found))?.into();
    }
    Ok(config)
}

/// Refuses a key that says another number than the rest does.
fn same(meta: &Metadata<'_>, key: &str, expected: u64) -> Result<(), Diagnostic> {
    match meta.integer(key)? {
        Some(found) if found != expected => {
            Err(meta.unsupported(format!("`{key}`: expected {expected}, as of every head, found {found}")))
        }
        _ => Ok(()),
    }
}

fn rope_scaling(
    meta: &Metadata<'_>,
    keys: &str,
    factors: Option<&[f32]>,
    (theta, head_dim): (f64, u64),
) -> Result<Value, Diagnostic> {
    let kind = meta.text(&format!("{keys}.type"))?.unwrap_or("none");
    match (kind, factors) {
        ("none", None) => Ok(Value::Null),
        ("none", Some(factors)) => llama3(factors, theta, head_dim).ok_or_else(|| {
            let message =
                "tensor `rope_freqs.weight`: expected the factors of a Llama 3 scaling, found others";
            meta.unsupported(message.into())
        }),
        ("linear", None) => {
            let factor = meta.float(&format!("{keys}.factor"))?;
            Ok(json!({ "rope_type": "linear", "factor": factor }))
        }
        (other, _) => {
            Err(meta.unsupported(format!("`{keys}.type`: expected none or linear, found {other:?}")))
        }
    }
}

/// The scaling of Llama 3 whose factors these are. The file has the factors alone; waves longer than `context / low` are
/// stretched by the largest, and the other numbers are those of every published Llama.
fn llama3(factors: &[f32], theta: f64, head_dim: u64) -> Option<Value> {
    const LOW: f64 = 1.0;
    const HIGH: f64 = 4.0;
    const CONTEXT: f64 = 8192.0;
    if factors.len() as u64 != head_dim / 2 {
        return None;
    }
    let factor = f64::from(factors.iter().copied().fold(1.0f32, f32::max));
    if factor == 1.0 {
        return factors.iter().all(|&found| found == 1.0).then_some(Value::Null);
    }
    let expected = |i: usize| {
        let turns = CONTEXT * theta.powf(-2.0 * i as f64 / head_dim as f64) / TAU;
        let kept = ((turns - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
        1.0 / ((1.0 - kept) / factor + kept)
    };
    let near = |(i, &found): (usize, &f32)| (f64::from(found) / expected(i) - 1.0).abs() < 1e-5;
    factors.iter().enumerate().all(near).then(|| {
        json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": LOW,
            "high_freq_factor": HIGH,
            "original_max_position_embeddings": CONTEXT as u64,
        })
    })
}
