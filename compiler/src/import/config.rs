//! `config.json` of LlamaForCausalLM and MistralForCausalLM, read so that no key goes unseen: each is used, known
//! not to touch the mathematics ([`IRRELEVANT`]), or refused.

use samp_abi::{
    ElementType,
    plan::{Architecture, Model, Rope},
};
use samp_ir::Diagnostic;
use serde_json::Value;

use super::{
    dimensions::{MAX_POSITIONS, dimensions, required},
    json::{Object, shown},
    rope::{RopeConfig, RopeScaling},
    rope_config::rope_config,
};
use crate::error_code;

/// A file of more bytes than this is no `config.json`.
const MAX_CONFIG_BYTES: usize = 1 << 20;
/// Keys that cannot change a logit, with the reason.
pub const IRRELEVANT: &[(&str, &str)] = &[
    ("_attn_implementation", "which code transformers runs, not what it computes"),
    ("_attn_implementation_autoset", "which code transformers runs, not what it computes"),
    ("_commit_hash", "origin"),
    ("_from_model_config", "origin"),
    ("_name_or_path", "origin"),
    ("attention_dropout", "training only"),
    ("do_sample", "sampling, not the model"),
    ("id2label", "classification only"),
    ("initializer_range", "training only"),
    ("is_llama_config", "origin"),
    ("label2id", "classification only"),
    ("max_length", "sampling, not the model"),
    ("max_sequence_length", "never read by transformers' Llama; max_position_embeddings is"),
    ("output_attentions", "what transformers returns"),
    ("output_hidden_states", "what transformers returns"),
    ("pad_token_id", "padding of batches; samp's batches are ragged"),
    ("problem_type", "classification only"),
    ("return_dict", "what transformers returns"),
    ("temperature", "sampling, not the model"),
    ("tokenizer_class", "the tokenizer's own files say it"),
    ("top_k", "sampling, not the model"),
    ("top_p", "sampling, not the model"),
    ("transformers.js_config", "which code another runtime runs, not what it computes"),
    ("transformers_version", "origin"),
    ("unsloth_fixed", "origin"),
    ("unsloth_version", "origin"),
    ("use_cache", "which code transformers runs, not what it computes"),
];

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
    let architecture = architecture(&mut keys)?;
    refuse_quantized(&mut keys)?;
    check_fixed(&mut keys)?;
    let sizes = dimensions(&mut keys, architecture)?;
    let max_position_embeddings = required(&mut keys, "max_position_embeddings", MAX_POSITIONS)?;
    let rope = rope_config(&mut keys, sizes.head_dim)?;
    let rms_norm_eps =
        keys.number("rms_norm_eps", "a number above 0 and below 1", |x| x > 0.0 && x < 1.0)?.ok_or_else(
            || keys.missing("rms_norm_eps", "the number that every norm adds to the mean square"),
        )?;
    let config = ModelConfig {
        model: Model {
            architecture,
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
            sliding_window: sliding_window(&mut keys, architecture, sizes.layers)?,
            tied_embeddings: keys.flag("tie_word_embeddings")?.unwrap_or(false),
            bos_token_id: token_ids(&mut keys, "bos_token_id", sizes.vocab)?.first().copied(),
            eos_token_ids: token_ids(&mut keys, "eos_token_id", sizes.vocab)?,
        },
        rope,
        rms_norm_eps,
        attention_bias: bias(&mut keys, "attention_bias", architecture)?,
        mlp_bias: bias(&mut keys, "mlp_bias", architecture)?,
        dtype: dtype(&mut keys)?,
        max_position_embeddings,
    };
    keys.finish(|key| IRRELEVANT.iter().any(|(known, _)| *known == key))?;
    Ok(config)
}

fn architecture(keys: &mut Object<'_>) -> Result<Architecture, Diagnostic> {
    const EXPECTED: &str = "[\"LlamaForCausalLM\"] or [\"MistralForCausalLM\"]";
    let Some(value) = keys.take("architectures") else {
        return Err(keys.missing("architectures", EXPECTED));
    };
    let (architecture, model_type) = match value.as_array().map(Vec::as_slice) {
        Some([Value::String(name)]) if name == "LlamaForCausalLM" => {
            (Architecture::LlamaForCausalLM, "llama")
        }
        Some([Value::String(name)]) if name == "MistralForCausalLM" => {
            (Architecture::MistralForCausalLM, "mistral")
        }
        Some([Value::String(_)]) => {
            return Err(keys.unsupported("architectures", EXPECTED, &value));
        }
        _ => return Err(keys.wrong("architectures", EXPECTED, &value)),
    };
    match keys.text("model_type")? {
        Some(found) if found != model_type => {
            let expected = format!("\"{model_type}\", as `architectures` says");
            Err(keys.wrong("model_type", &expected, &found.into()))
        }
        _ => Ok(architecture),
    }
}

fn refuse_quantized(keys: &mut Object<'_>) -> Result<(), Diagnostic> {
    for key in ["quantization_config", "compression_config"] {
        if let Some(value) = keys.take(key) {
            let finding = keys.unsupported(key, "a checkpoint in f32, f16 or bf16", &value);
            return Err(finding.hint("compile the checkpoint that this one was quantized from"));
        }
    }
    match keys.take("auto_map") {
        Some(value) => Err(keys.unsupported("auto_map", "a model without code of its own", &value)),
        None => Ok(()),
    }
}

/// Keys that may only say what the two architectures are anyway.
fn check_fixed(keys: &mut Object<'_>) -> Result<(), Diagnostic> {
    let fixed: [(&str, Value); 6] = [
        ("hidden_act", "silu".into()),
        ("pretraining_tp", 1.into()),
        ("partial_rotary_factor", 1.0.into()),
        ("add_cross_attention", false.into()),
        ("is_encoder_decoder", false.into()),
        ("rope_interleaved", false.into()),
    ];
    for (key, expected) in fixed {
        match keys.take(key) {
            Some(found)
                if found != expected && found.as_f64().is_none_or(|x| Some(x) != expected.as_f64()) =>
            {
                return Err(keys.unsupported(key, &shown(&expected), &found));
            }
            _ => {}
        }
    }
    Ok(())
}

fn sliding_window(
    keys: &mut Object<'_>,
    architecture: Architecture,
    layers: u64,
) -> Result<Option<u64>, Diagnostic> {
    const KEY: &str = "sliding_window";
    let mistral = architecture == Architecture::MistralForCausalLM;
    if mistral && keys.peek(KEY).is_none() {
        return Err(keys.missing(KEY, "the window in positions, or null for full attention"));
    }
    let window = keys.integer(KEY, 1..=MAX_POSITIONS)?;
    if let (false, Some(window)) = (mistral, window) {
        return Err(keys.unsupported(KEY, "null, because Llama attends to every position", &window.into()));
    }
    let Some(types) = keys.take("layer_types") else { return Ok(window) };
    let kind = if window.is_some() { "sliding_attention" } else { "full_attention" };
    let uniform = |list: &Vec<Value>| list.len() as u64 == layers && list.iter().all(|t| t == kind);
    if types.as_array().is_some_and(uniform) {
        return Ok(window);
    }
    let expected = format!("\"{kind}\" for each of the {layers} layers, as `{KEY}` says");
    Err(keys.unsupported("layer_types", &expected, &types))
}

/// One token id or several; none if the key is absent or null.
pub(super) fn token_ids(keys: &mut Object<'_>, key: &str, vocab: u64) -> Result<Vec<u32>, Diagnostic> {
    let Some(value) = keys.take(key) else { return Ok(vec![]) };
    let listed = match &value {
        Value::Array(list) if key != "bos_token_id" => list.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut ids = Vec::new();
    for item in listed {
        match item.as_u64() {
            Some(id) if id < vocab && !ids.contains(&(id as u32)) => ids.push(id as u32),
            Some(id) if id < vocab => {}
            _ => return Err(keys.wrong(key, &format!("token ids below vocab_size = {vocab}"), &value)),
        }
    }
    Ok(ids)
}

fn bias(keys: &mut Object<'_>, key: &str, architecture: Architecture) -> Result<bool, Diagnostic> {
    let biased = keys.flag(key)?.unwrap_or(false);
    if biased && architecture == Architecture::MistralForCausalLM {
        return Err(keys.unsupported(key, "false, because Mistral has no biases", &true.into()));
    }
    Ok(biased)
}

fn dtype(keys: &mut Object<'_>) -> Result<Option<ElementType>, Diagnostic> {
    let mut dtype = None;
    for key in ["dtype", "torch_dtype"] {
        let Some(name) = keys.text(key)? else { continue };
        let found = match name.as_str() {
            "float32" => ElementType::F32,
            "float16" => ElementType::F16,
            "bfloat16" => ElementType::Bf16,
            _ => return Err(keys.unsupported(key, "\"float32\", \"float16\" or \"bfloat16\"", &name.into())),
        };
        if dtype.is_some_and(|earlier| earlier != found) {
            return Err(keys.wrong(key, "the same as `dtype`", &name.into()));
        }
        dtype = Some(found);
    }
    Ok(dtype)
}
