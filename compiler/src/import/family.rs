//! Which architecture a `config.json` is of: as transformers' `AutoModelForCausalLM` decides, by `model_type` first.

use samp_abi::plan::Architecture;
use samp_ir::Diagnostic;
use serde_json::Value;

use super::json::Object;
use crate::error_code;

/// An architecture: its names in transformers, and what its class assumes where the config is silent.
#[derive(Debug, PartialEq)]
pub(super) struct Family {
    pub(super) architecture: Architecture,
    /// The class that generates.
    class: &'static str,
    model_type: &'static str,
    /// `num_key_value_heads`; `None` for as many as heads.
    pub(super) kv_heads: Option<u64>,
    /// `max_position_embeddings`.
    pub(super) max_positions: u64,
    /// `rms_norm_eps`.
    pub(super) rms_norm_eps: f64,
    /// `sliding_window`, of those that have one.
    pub(super) window: WindowRule,
    /// The keys that ask for biases, of those that are read at all.
    pub(super) biases: &'static [&'static str],
    /// Whether queries, keys and values have biases whatever those keys say.
    pub(super) qkv_bias: bool,
    /// Whether each head of queries and keys is normalised before it is turned.
    pub(super) head_norms: bool,
    /// Whether it stores queries, keys and values as one tensor, and gate and up as another.
    pub(super) joined_projections: bool,
    /// What the rotary keys say.
    pub(super) rope: RopeRule,
    /// `tie_word_embeddings`.
    pub(super) tied: bool,
    /// `no_rope_layer_interval`, of those that leave some layers unturned.
    pub(super) unturned_interval: Option<u64>,
    /// Whether embeddings, residual additions, scores and logits have multipliers.
    pub(super) multipliers: bool,
    /// `rope_theta`.
    pub(super) theta: f64,
    /// `head_dim`; `None` for the width that heads share out among themselves.
    pub(super) head_dim: Option<u64>,
}

/// What an architecture makes of `sliding_window`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WindowRule {
    /// It attends to every position whatever the key says.
    Ignored,
    /// The window of every layer, by default so long.
    Everywhere(Option<u64>),
    /// A window, by default so long, where `use_sliding_window` asks for one: of the layers that `layer_types` names, or of
    /// those from `max_window_layers` on.
    Upper(u64),
    /// A window where `use_sliding_window` asks for one, by default of the layers that are not turned.
    Unturned,
    /// As everywhere, but of the layers that `layer_types` names where that is there.
    Listed(u64),
}

/// What an architecture makes of the rotary keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RopeRule {
    /// Every channel of a head is turned.
    Whole,
    /// `partial_rotary_factor` says how many are, a scaling is LongRoPE by whichever of its names, and
    /// `original_max_position_embeddings` stands outside it, by default 4096 positions.
    Phi3,
}

const LLAMA: Family = Family {
    architecture: Architecture::LlamaForCausalLM,
    class: "LlamaForCausalLM",
    model_type: "llama",
    kv_heads: None,
    max_positions: 2048,
    rms_norm_eps: 1e-6,
    window: WindowRule::Ignored,
    biases: &["attention_bias", "mlp_bias"],
    qkv_bias: false,
    head_norms: false,
    joined_projections: false,
    rope: RopeRule::Whole,
    tied: false,
    unturned_interval: None,
    multipliers: false,
    theta: 10_000.0,
    head_dim: None,
};

const FAMILIES: [Family; 8] = [
    LLAMA,
    Family {
        architecture: Architecture::MistralForCausalLM,
        class: "MistralForCausalLM",
        model_type: "mistral",
        kv_heads: Some(8),
        max_positions: 1 << 17,
        window: WindowRule::Everywhere(Some(4096)),
        biases: &[],
        ..LLAMA
    },
    Family {
        architecture: Architecture::Qwen2ForCausalLM,
        class: "Qwen2ForCausalLM",
        model_type: "qwen2",
        kv_heads: Some(32),
        max_positions: 1 << 15,
        window: WindowRule::Upper(4096),
        biases: &[],
        qkv_bias: true,
        ..LLAMA
    },
    Family {
        architecture: Architecture::Qwen3ForCausalLM,
        class: "Qwen3ForCausalLM",
        model_type: "qwen3",
        kv_heads: Some(32),
        max_positions: 1 << 15,
        window: WindowRule::Upper(4096),
        biases: &["attention_bias"],
        head_norms: true,
        head_dim: Some(128),
        ..LLAMA
    },
    Family {
        architecture: Architecture::Phi3ForCausalLM,
        class: "Phi3ForCausalLM",
        model_type: "phi3",
        max_positions: 4096,
        rms_norm_eps: 1e-5,
        window: WindowRule::Everywhere(None),
        biases: &[],
        joined_projections: true,
        rope: RopeRule::Phi3,
        ..LLAMA
    },
    Family {
        architecture: Architecture::GraniteForCausalLM,
        class: "GraniteForCausalLM",
        model_type: "granite",
        multipliers: true,
        ..LLAMA
    },
    Family {
        architecture: Architecture::SmolLM3ForCausalLM,
        class: "SmolLM3ForCausalLM",
        model_type: "smollm3",
        kv_heads: Some(4),
        max_positions: 1 << 15,
        window: WindowRule::Unturned,
        tied: true,
        unturned_interval: Some(4),
        theta: 2e6,
        ..LLAMA
    },
    Family {
        architecture: Architecture::MinistralForCausalLM,
        class: "MinistralForCausalLM",
        model_type: "ministral",
        kv_heads: Some(8),
        max_positions: 1 << 17,
        window: WindowRule::Listed(4096),
        biases: &[],
        ..LLAMA
    },
];

/// Families that are refused by name, by the beginning of their model type or class in small letters, with the reason.
const REFUSED: [(&str, &str); 14] = [
    ("mixtral", MIXTURE),
    ("qwen2_moe", MIXTURE),
    ("qwen2moe", MIXTURE),
    ("qwen3_moe", MIXTURE),
    ("qwen3moe", MIXTURE),
    ("phimoe", MIXTURE),
    ("granitemoe", MIXTURE),
    ("olmoe", MIXTURE),
    ("deepseek", MIXTURE),
    ("gpt_oss", MIXTURE),
    ("gptoss", MIXTURE),
    ("llama4", "Llama 4 is a mixture of experts with chunked attention, which samp does not compile"),
    ("gemma", "Gemma's layers have other norms, activations and scalings, which samp does not compile"),
    (
        "bitnet",
        "BitNet's weights are ternary and its layers have norms of their own, which samp does not compile",
    ),
];
const MIXTURE: &str = "it is a mixture of experts; samp compiles dense models";

/// The family of a config.
pub(super) fn family(
    keys: &mut Object<'_>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<&'static Family, Diagnostic> {
    let classes = classes(keys)?;
    let model_type = keys.text("model_type")?;
    let family = match &model_type {
        Some(name) => FAMILIES.iter().find(|family| family.model_type == name),
        None => classes.iter().find_map(|class| by_class(class)),
    };
    let Some(family) = family else {
        return Err(match (model_type, classes.first()) {
            (Some(name), _) => unsupported(keys, "model_type", &name),
            (None, Some(class)) => unsupported(keys, "architectures", class),
            (None, None) => keys.missing("model_type", &listed(|family| family.model_type)),
        });
    };
    if let Some(class) = classes.iter().find(|class| by_class(class).is_some_and(|other| other != family)) {
        let expected = format!("\"{}\", as `model_type` says", family.class);
        return Err(keys.wrong("architectures", &expected, &class.as_str().into()));
    }
    if keys.take("auto_map").is_some() {
        let message = "`auto_map`: expected no code beside the weights, found some: it is not run";
        let warning = Diagnostic::bad_input(error_code::REMOTE_CODE, message)
            .warning()
            .note(format!("the model is built as transformers' own {}", family.class));
        warnings.push(warning);
    }
    Ok(family)
}

/// The classes under `architectures`. Others than those that generate may stand there: what counts is the model type.
fn classes(keys: &mut Object<'_>) -> Result<Vec<String>, Diagnostic> {
    let Some(value) = keys.take("architectures") else { return Ok(vec![]) };
    let text = |item: &Value| item.as_str().map(str::to_owned);
    let classes = value.as_array().and_then(|list| list.iter().map(text).collect());
    classes.ok_or_else(|| keys.wrong("architectures", "a list of classes", &value))
}

/// The family that a class is of, in the spelling of today or of the first conversions.
fn by_class(class: &str) -> Option<&'static Family> {
    let same = |family: &&Family| class.eq_ignore_ascii_case(family.class);
    FAMILIES.iter().find(same)
}

fn unsupported(keys: &Object<'_>, key: &str, found: &str) -> Diagnostic {
    let list = match key {
        "architectures" => listed(|family| family.class),
        _ => listed(|family| family.model_type),
    };
    let finding = keys.unsupported(key, &list, &found.into());
    let small = found.to_ascii_lowercase();
    let reason = REFUSED.iter().find(|(name, _)| small.starts_with(name));
    let mixture = ["moe", "mixtral"].iter().any(|part| small.contains(part)).then_some(MIXTURE);
    match reason.map(|(_, reason)| *reason).or(mixture) {
        Some(reason) => finding.note(format!("{found}: {reason}")),
        None => finding,
    }
}

/// The names of all families, for a message.
fn listed(name: impl Fn(&Family) -> &'static str) -> String {
    let names: Vec<String> = FAMILIES.iter().map(|family| format!("\"{}\"", name(family))).collect();
    let (last, first) = names.split_last().expect("there are families");
    format!("{} or {last}", first.join(", "))
}
