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
    pub(super) window: Window,
    /// Whether `attention_bias` and `mlp_bias` are asked for at all.
    pub(super) biases: bool,
}

/// What an architecture makes of `sliding_window`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Window {
    /// It attends to every position whatever the key says.
    Ignored,
    /// The window of every layer, by default so long.
    Everywhere(Option<u64>),
}

const LLAMA: Family = Family {
    architecture: Architecture::LlamaForCausalLM,
    class: "LlamaForCausalLM",
    model_type: "llama",
    kv_heads: None,
    max_positions: 2048,
    rms_norm_eps: 1e-6,
    window: Window::Ignored,
    biases: true,
};

const FAMILIES: [Family; 2] = [
    LLAMA,
    Family {
        architecture: Architecture::MistralForCausalLM,
        class: "MistralForCausalLM",
        model_type: "mistral",
        kv_heads: Some(8),
        max_positions: 1 << 17,
        window: Window::Everywhere(Some(4096)),
        biases: false,
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
