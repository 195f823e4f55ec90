//! `config.json`, read so that no key goes unseen: each is used, known not to touch the mathematics (`irrelevant.rs`), or
//! refused. Where a key is missing or out of place and transformers goes on, so does samp, and says so.

use samp_abi::{
    ElementType,
    plan::{Model, Rope},
};
use samp_ir::Diagnostic;
use serde_json::Value;

use super::{
    dimensions::{MAX_POSITIONS, dimensions},
    eos::eos_token_ids,
    family::{Family, Window, family},
    irrelevant::is_irrelevant,
    json::{Object, shown},
    quantized::{Method, of_config},
    rope::{RopeConfig, RopeScaling},
    rope_config::rope_config,
};
use crate::error_code;

/// A file of more bytes than this is no `config.json`.
const MAX_CONFIG_BYTES: usize = 1 << 20;
/// What `config.json` says: the model's shape and the facts that import needs beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Shape and constants, with rotary frequencies for contexts up to `max_position_embeddings`
    /// (see [`ModelConfig::set_context`]).
    pub model: Model,
    /// The rotary embedding as stated.
    pub rope: RopeConfig,
    /// Added to the mean square in every norm.
    pub rms_norm_eps: f64,
    /// Whether the attention's four projections have biases.
    pub attention_bias: bool,
    /// Whether the MLP's three projections have biases.
    pub mlp_bias: bool,
    /// Element type that the weights are stated to have.
    pub dtype: Option<ElementType>,
    /// Positions that the model was trained for.
    pub max_position_embeddings: u64,
    /// What was assumed and what was passed over.
    pub warnings: Vec<Diagnostic>,
    /// Scales of keys and of values of each layer, for a cache in fp8, where a quantized checkpoint has them.
    pub kv_scales: Option<Vec<[f32; 2]>>,
    /// How the weights were quantized, if they were.
    pub(super) quantization: Option<Method>,
}

impl ModelConfig {
    /// Sets the rotary frequencies for sequences of up to `max_context` positions. A context longer than the model
    /// was trained for gives a warning, which for dynamic scaling also says that the frequencies changed.
    pub fn set_context(&mut self, max_context: u64) -> Option<Diagnostic> {
        let trained = self.max_position_embeddings;
        self.model.rope.inv_frequencies =
            self.rope.inv_frequencies(self.model.head_dim, trained, max_context);
        if max_context <= trained {
            return None;
        }
        let message = format!(
            "expected a context of at most {trained} positions (max_position_embeddings), found {max_context}"
        );
        let warning = Diagnostic::bad_input(error_code::CONTEXT, message).warning().in_file("config.json");
        Some(match self.rope.scaling {
            RopeScaling::Dynamic { .. } => warning.note(format!(
                "dynamic rotary scaling: the frequencies are computed once for {max_context} positions, so shorter \
                 sequences get them too"
            )),
            _ => warning.note("the model was not trained for positions beyond that"),
        })
    }
}

/// Reads a `config.json`; `file` is its name in messages. Every error names the key, what was expected and what
/// was found. Never panics, whatever the bytes.
pub fn parse_config(bytes: &[u8], file: &str) -> Result<ModelConfig, Diagnostic> {
    if bytes.len() > MAX_CONFIG_BYTES {
        let message = format!("expected at most {MAX_CONFIG_BYTES} bytes, found {}", bytes.len());
        return Err(Diagnostic::bad_input(error_code::JSON, message).in_file(file));
    }
    let mut keys = Object::parse(bytes, file)?;
    let mut warnings = vec![];
    let quantization = of_config(&mut keys)?;
    let family = family(&mut keys, &mut warnings)?;
    check_fixed(&mut keys)?;
    let sizes = dimensions(&mut keys, family)?;
    let max_position_embeddings =
        keys.integer("max_position_embeddings", 1..=MAX_POSITIONS)?.unwrap_or(family.max_positions);
    let rope = rope_config(&mut keys, sizes.head_dim, max_position_embeddings, &mut warnings)?;
    let config = ModelConfig {
        model: Model {
            architecture: family.architecture,
            hidden_size: sizes.hidden,
            intermediate_size: sizes.intermediate,
            layers: sizes.layers,
            heads: sizes.heads,
            kv_heads: sizes.kv_heads,
            head_dim: sizes.head_dim,
            vocab_size: sizes.vocab,
            rope: Rope {
                inv_frequencies: rope.inv_frequencies(
                    sizes.head_dim,
                    max_position_embeddings,
                    max_position_embeddings,
                ),
            },
            sliding_window: sliding_window(&mut keys, family, sizes.layers, &mut warnings)?,
            tied_embeddings: keys.flag("tie_word_embeddings")?.unwrap_or(false),
            bos_token_id: bos_token_id(&mut keys, sizes.vocab)?,
            eos_token_ids: eos_token_ids(&mut keys, sizes.vocab, &mut warnings)?,
        },
        rope,
        rms_norm_eps: rms_norm_eps(&mut keys, family, &mut warnings)?,
        attention_bias: bias(&mut keys, "attention_bias", family)?,
        mlp_bias: bias(&mut keys, "mlp_bias", family)?,
        dtype: dtype(&mut keys)?,
        max_position_embeddings,
        warnings: warnings.into_iter().map(|warning| warning.in_file(file)).collect(),
        kv_scales: None,
        quantization,
    };
    keys.finish(is_irrelevant)?;
    Ok(config)
}

/// Keys that may only say what the architectures are anyway.
fn check_fixed(keys: &mut Object<'_>) -> Result<(), Diagnostic> {
    // transformers knows SiLU by both names.
    let fixed: [(&str, &[Value]); 6] = [
        ("hidden_act", &["silu".into(), "swish".into()]),
        ("partial_rotary_factor", &[1.0.into()]),
        ("add_cross_attention", &[false.into()]),
        ("is_encoder_decoder", &[false.into()]),
        ("rope_interleaved", &[false.into()]),
        ("pruned_heads", &[Value::Object(Default::default())]),
    ];
    for (key, expected) in fixed {
        let Some(found) = keys.take(key) else { continue };
        let is = |value: &Value| found == *value || found.is_number() && found.as_f64() == value.as_f64();
        if !expected.iter().any(is) {
            return Err(keys.unsupported(key, &shown(&expected[0]), &found));
        }
    }
    Ok(())
}

fn rms_norm_eps(
    keys: &mut Object<'_>,
    family: &Family,
    warnings: &mut Vec<Diagnostic>,
) -> Result<f64, Diagnostic> {
    const KEY: &str = "rms_norm_eps";
    let stated = keys.number(KEY, "a number above 0 and below 1", |x| x > 0.0 && x < 1.0)?;
    Ok(stated.unwrap_or_else(|| {
        warnings.push(assumed(KEY, family.rms_norm_eps));
        family.rms_norm_eps
    }))
}

/// A warning that a key is missing and that transformers' default stands in.
fn assumed(key: &str, value: impl std::fmt::Display) -> Diagnostic {
    let message = format!("`{key}` is missing: transformers' default of {value} is taken");
    Diagnostic::bad_input(error_code::ASSUMED, message).warning()
}

fn sliding_window(
    keys: &mut Object<'_>,
    family: &Family,
    layers: u64,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Option<u64>, Diagnostic> {
    const KEY: &str = "sliding_window";
    let is_null = keys.peek(KEY).is_some_and(Value::is_null);
    let stated = keys.integer(KEY, 1..=MAX_POSITIONS)?;
    let window = match (family.window, stated) {
        (Window::Ignored, Some(window)) => {
            let message = format!(
                "`{KEY}` = {window}: expected none, because the architecture attends to every position"
            );
            let warning = Diagnostic::bad_input(error_code::IGNORED_KEY, message).warning();
            warnings.push(warning.note("it is passed over, as transformers does"));
            None
        }
        (Window::Ignored, None) => None,
        (Window::Everywhere(Some(default)), None) if !is_null => {
            warnings.push(assumed(KEY, default));
            Some(default)
        }
        (Window::Everywhere(_), window) => window,
    };
    let Some(types) = keys.take("layer_types") else { return Ok(window) };
    let kind = if window.is_some() { "sliding_attention" } else { "full_attention" };
    let uniform = |list: &Vec<Value>| list.len() as u64 == layers && list.iter().all(|t| t == kind);
    if types.as_array().is_some_and(uniform) {
        return Ok(window);
    }
    let expected = format!("\"{kind}\" for each of the {layers} layers, as `{KEY}` says");
    Err(keys.unsupported("layer_types", &expected, &types))
}

fn bos_token_id(keys: &mut Object<'_>, vocab: u64) -> Result<Option<u32>, Diagnostic> {
    let id = keys.integer("bos_token_id", 0..=u64::from(u32::MAX))?;
    Ok(id.filter(|id| *id < vocab).map(|id| id as u32))
}

fn bias(keys: &mut Object<'_>, key: &str, family: &Family) -> Result<bool, Diagnostic> {
    let biased = keys.flag(key)?.unwrap_or(false);
    if biased && !family.biases {
        return Err(keys.unsupported(
            key,
            "false, because the architecture has no such biases",
            &true.into(),
        ));
    }
    Ok(biased)
}

/// The element type that the config states, of two that differ the one that transformers prefers.
fn dtype(keys: &mut Object<'_>) -> Result<Option<ElementType>, Diagnostic> {
    let mut dtype = None;
    for key in ["dtype", "torch_dtype"] {
        let Some(name) = keys.text(key)? else { continue };
        let found = match name.strip_prefix("torch.").unwrap_or(&name) {
            "float32" | "float" | "fp32" | "f32" => Some(ElementType::F32),
            "float16" | "half" | "fp16" | "f16" => Some(ElementType::F16),
            "bfloat16" | "bf16" => Some(ElementType::Bf16),
            "auto" | "float64" | "double" => None,
            _ => return Err(keys.unsupported(key, "\"float32\", \"float16\" or \"bfloat16\"", &name.into())),
        };
        dtype = dtype.or(found);
    }
    Ok(dtype)
}
