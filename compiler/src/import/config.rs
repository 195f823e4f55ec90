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
    family::{Family, family},
    irrelevant::is_irrelevant,
    json::{Object, assumed, shown},
    multipliers::multipliers,
    quantized::{Method, of_config},
    rope::{RopeConfig, RopeScaling},
    rope_config::rope_config,
    window::windows,
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
    /// What the last norm's weight is multiplied by.
    pub final_norm_scale: f64,
    /// Whether the projections of queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the attention's output projection has a bias.
    pub output_bias: bool,
    /// Whether each head of queries and keys is normalised before it is turned.
    pub head_norms: bool,
    /// Whether the checkpoint holds queries, keys and values in one tensor, and gate and up in another.
    pub joined_projections: bool,
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
        self.model.rope.inv_frequencies = self.rope.inv_frequencies(trained, max_context);
        if max_context <= trained {
            return self.long_frequencies(max_context);
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

    /// Under LongRoPE the frequencies follow the context, too, within what the model was trained for.
    fn long_frequencies(&self, max_context: u64) -> Option<Diagnostic> {
        let RopeScaling::LongRope { original_context, .. } = self.rope.scaling else { return None };
        (max_context > original_context).then(|| {
            let message = format!(
                "LongRoPE: the frequencies are those of contexts beyond {original_context} positions, as {max_context} \
                 are to be served; sequences up to there get them too, for which transformers takes others"
            );
            let warning = Diagnostic::bad_input(error_code::CONTEXT, message).warning().in_file("config.json");
            warning.hint(format!("compile with --max-model-len {original_context} if no sequence is longer"))
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
    let unturned_layers = unturned_layers(&mut keys, family, sizes.layers)?;
    let windows = windows(&mut keys, family, (sizes.layers, &unturned_layers), &mut warnings)?;
    let multipliers = multipliers(&mut keys, family)?;
    let rope = rope_config(&mut keys, family, (sizes.head_dim, max_position_embeddings), &mut warnings)?;
    let attention_bias = bias(&mut keys, "attention_bias", family)?;
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
                inv_frequencies: rope.inv_frequencies(max_position_embeddings, max_position_embeddings),
                rotary_dim: rope.rotary_dim(sizes.head_dim),
                scale: rope.scale() * multipliers.rope_scale(sizes.head_dim),
            },
            sliding_window: windows.length,
            full_attention_layers: windows.full_layers,
            unturned_layers,
            embedding_scale: multipliers.embedding_scale(),
            tied_embeddings: keys.flag("tie_word_embeddings")?.unwrap_or(family.tied),
            bos_token_id: bos_token_id(&mut keys, sizes.vocab)?,
            eos_token_ids: eos_token_ids(&mut keys, sizes.vocab, &mut warnings)?,
        },
        rope,
        rms_norm_eps: multipliers.eps(rms_norm_eps(&mut keys, family, &mut warnings)?),
        final_norm_scale: multipliers.final_norm(),
        qkv_bias: family.qkv_bias || attention_bias,
        output_bias: attention_bias,
        head_norms: family.head_norms,
        joined_projections: family.joined_projections,
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
    let fixed: [(&str, &[Value]); 5] = [
        ("hidden_act", &["silu".into(), "swish".into()]),
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

/// The layers that turn neither queries nor keys: those whose place in `no_rope_layers` is 0, or every
/// `no_rope_layer_interval`-th.
fn unturned_layers(keys: &mut Object<'_>, family: &Family, layers: u64) -> Result<Vec<u64>, Diagnostic> {
    const LISTED: &str = "no_rope_layers";
    let Some(interval) = family.unturned_interval else { return Ok(vec![]) };
    let interval = keys.integer("no_rope_layer_interval", 1..=u64::from(u32::MAX))?.unwrap_or(interval);
    let Some(listed) = keys.take(LISTED) else {
        return Ok((0..layers).filter(|layer| (layer + 1).is_multiple_of(interval)).collect());
    };
    let turned = |value: &Value| value.as_bool().or(value.as_u64().filter(|&n| n < 2).map(|n| n == 1));
    let turned: Option<Vec<bool>> = listed.as_array().and_then(|list| list.iter().map(turned).collect());
    let Some(turned) = turned.filter(|turned| turned.len() as u64 == layers) else {
        let expected = format!("0 or 1 for each of the {layers} layers");
        return Err(keys.wrong(LISTED, &expected, &listed));
    };
    Ok((0..).zip(turned).filter(|(_, turned)| !turned).map(|(layer, _)| layer).collect())
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

fn bos_token_id(keys: &mut Object<'_>, vocab: u64) -> Result<Option<u32>, Diagnostic> {
    let id = keys.integer("bos_token_id", 0..=u64::from(u32::MAX))?;
    Ok(id.filter(|id| *id < vocab).map(|id| id as u32))
}

/// Whether a key asks for biases, of those that the family reads. Where some are there whatever is said, another is passed
/// over, as transformers does.
fn bias(keys: &mut Object<'_>, key: &str, family: &Family) -> Result<bool, Diagnostic> {
    let (stated, reads) = (keys.flag(key)?.unwrap_or(false), family.biases.contains(&key));
    if stated && !reads && !family.qkv_bias {
        return Err(keys.unsupported(
            key,
            "false, because the architecture has no such biases",
            &true.into(),
        ));
    }
    Ok(stated && reads)
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
