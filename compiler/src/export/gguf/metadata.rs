//! The metadata of a GGUF file: what the model is, in llama.cpp's keys.

use samp_abi::plan::{Architecture, Plan};
use serde_json::Value;

use super::{
    super::hf_config::ExportedConfig,
    file::{MetaValue, Metadata},
};
use crate::import::{GgufArchitecture, RopeScaling};

/// What transformers takes where a config does not say what norms add to the mean square.
const DEFAULT_EPS: f64 = 1e-6;
/// SmolLM 3's layers that turn nothing are every so many.
const UNTURNED_EVERY: u64 = 4;

/// What a plan is called where it has no name.
const UNNAMED: &str = "model";

/// The metadata of the model, or what llama.cpp cannot be told of it.
pub(super) fn model_metadata(
    plan: &Plan,
    config: &ExportedConfig,
    architecture: &GgufArchitecture,
) -> Result<Metadata, String> {
    let model = &config.model.model;
    let limits = plan.limits;
    let (context, theta) = context_and_theta(config, limits.max_context);
    let number = |value: u64| {
        u32::try_from(value).map(MetaValue::U32).map_err(|_| format!("{value} is no 32-bit number"))
    };
    let float = |value: f64| MetaValue::F32(value as f32);
    let key = |key: &str| format!("{}.{key}", architecture.name);
    let stated = |name: &str| config.keys.get(name).and_then(Value::as_f64);
    let mut metadata = vec![
        ("general.architecture".into(), MetaValue::Text(architecture.name.into())),
        ("general.type".into(), MetaValue::Text("model".into())),
        ("general.name".into(), MetaValue::Text(plan.provenance.name.as_deref().unwrap_or(UNNAMED).into())),
        ("general.quantization_version".into(), MetaValue::U32(2)),
        (key("block_count"), number(model.layers)?),
        (key("context_length"), number(context)?),
        (key("embedding_length"), number(model.hidden_size)?),
        (key("feed_forward_length"), number(model.intermediate_size)?),
        (key("attention.head_count"), number(model.heads)?),
        (key("attention.head_count_kv"), number(model.kv_heads)?),
        (key("attention.key_length"), number(model.head_dim)?),
        (key("attention.value_length"), number(model.head_dim)?),
        (key("attention.layer_norm_rms_epsilon"), float(stated("rms_norm_eps").unwrap_or(DEFAULT_EPS))),
        (key("rope.dimension_count"), number(model.head_dim)?),
        (key("rope.freq_base"), float(theta)),
        (key("vocab_size"), number(model.vocab_size)?),
    ];
    if let RopeScaling::Linear { factor } = config.model.rope.scaling {
        metadata.push((key("rope.scaling.type"), MetaValue::Text("linear".into())));
        metadata.push((key("rope.scaling.factor"), float(factor)));
    }
    for (found, called) in architecture.numbers {
        metadata.push((key(found), float(stated(called).unwrap_or(1.0))));
    }
    Ok(metadata)
}

/// Positions that the model is for, and the base of its frequencies: under dynamic scaling those of the plan's context, where
/// that is longer than what the model was trained for.
fn context_and_theta(config: &ExportedConfig, context: u64) -> (u64, f64) {
    let (trained, rope) = (config.model.max_position_embeddings, &config.model.rope);
    match rope.scaling {
        RopeScaling::Dynamic { .. } => (trained.max(context), rope.base(trained, context)),
        _ => (trained, rope.theta),
    }
}

/// What the wave of each pair of channels is stretched by, where that is not the same for all.
pub(super) fn rope_factors(config: &ExportedConfig) -> Option<Vec<f32>> {
    let RopeScaling::Llama3 { .. } = config.model.rope.scaling else { return None };
    let rope = &config.model.rope;
    let plain = (0..rope.dim / 2).map(|i| rope.theta.powf(-2.0 * i as f64 / rope.dim as f64));
    let scaled = config.model.model.rope.inv_frequencies.iter();
    Some(plain.zip(scaled).map(|(plain, scaled)| (plain / scaled) as f32).collect())
}

/// The name of llama.cpp's architecture that computes what this model does.
///
/// # Errors
/// There is none; the text says what it would leave out.
pub(super) fn architecture_name(config: &ExportedConfig) -> Result<&'static str, String> {
    let (settings, model) = (&config.model, &config.model.model);
    let name = match model.architecture {
        // Mistral without a window is Llama.
        Architecture::LlamaForCausalLM | Architecture::MistralForCausalLM => "llama",
        Architecture::Qwen2ForCausalLM => "qwen2",
        Architecture::Qwen3ForCausalLM => "qwen3",
        Architecture::GraniteForCausalLM => "granite",
        Architecture::SmolLM3ForCausalLM => "smollm3",
        other => return Err(format!("samp writes no GGUF of {other:?}")),
    };
    if let Some(window) = (0..model.layers).find_map(|layer| model.window(layer)) {
        return Err(format!(
            "llama.cpp's {name} has no window, and this model has one of {window} positions"
        ));
    }
    if let Some(turned) = model.rope.rotary_dim {
        return Err(format!(
            "llama.cpp's {name} turns whole heads, and this model {turned} channels of each"
        ));
    }
    let expected: Vec<u64> = match model.architecture {
        Architecture::SmolLM3ForCausalLM => {
            (0..model.layers).filter(|layer| (layer + 1) % UNTURNED_EVERY == 0).collect()
        }
        _ => vec![],
    };
    if model.unturned_layers != expected {
        let found = &model.unturned_layers;
        return Err(format!(
            "llama.cpp's {name} leaves out RoPE in layers {expected:?}, this model in {found:?}"
        ));
    }
    match settings.rope.scaling {
        RopeScaling::Yarn { .. } => return Err("YaRN's scaling of frequencies has no exact keys".into()),
        RopeScaling::LongRope { .. } => return Err("LongRoPE's frequencies have no exact keys".into()),
        _ => {}
    }
    let [qkv, others] = [settings.qkv_bias, settings.output_bias || settings.mlp_bias];
    let told = match name {
        "llama" | "granite" => true,
        "qwen2" => !others,
        _ => !qkv && !others,
    };
    if told { Ok(name) } else { Err(format!("llama.cpp's {name} has no such biases as this model has")) }
}
