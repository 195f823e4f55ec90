//! GGUF, the format of llama.cpp: one file that holds the model's configuration, its tokenizer and its weights.
//!
//! The metadata becomes the files of a checkpoint (`config.json`, `tokenizer.json` and so on), which are then read like any
//! others; the tensors become weights under transformers' names.

mod block_type;
mod codebooks;
mod config;
mod header;
mod k_quants;
mod legacy_quants;
mod metadata;
mod tokenizer;
mod weights;

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use safetensors::Dtype;
use samp_ir::Diagnostic;
use samp_runtime::{generation_config::GENERATION_CONFIG_FILE, outside_file::open_regular};
use serde_json::{Value, json};

use self::{
    config::TensorFacts,
    header::{GgufHeader, GgufTensor},
    metadata::Metadata,
};
use super::{
    carried::CarriedFile,
    checkpoint::Checkpoint,
    config::{ModelConfig, parse_config},
    file_names::CONFIG,
    findings::Findings,
    layout::scale_norm,
    parameter::parameters,
    quantized::{QuantizedWeight, QuantizedWeights, StoredTensor},
    shard::{Shard, TensorEntry},
};
use crate::error_code;

pub(crate) use config::{GgufArchitecture, gguf_architecture};
pub(crate) use tokenizer::{merges_of_scores, pre_tokenizers};
pub(super) use weights::BlockWeight;
pub(crate) use weights::gguf_name;

/// What stretches the waves of the rotary embedding; the configuration has it.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// What a GGUF file holds.
pub(super) struct GgufImport {
    pub(super) config: ModelConfig,
    pub(super) checkpoint: Checkpoint,
    pub(super) files: Vec<CarriedFile>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// The GGUF file at a path: the file itself, or the only one of a folder without a `config.json`.
pub(super) fn file_at(path: &Path) -> Option<PathBuf> {
    let named = |path: &Path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf"));
    if path.is_file() && named(path) {
        return Some(path.into());
    }
    if path.is_file() {
        let mut magic = [0; 4];
        let read = open_regular(path).and_then(|mut file| file.read_exact(&mut magic));
        return (read.is_ok() && magic == *b"GGUF").then(|| path.into());
    }
    let entries = path.read_dir().ok().filter(|_| !path.join(CONFIG).exists())?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths.filter(|path| named(path)).take(2).collect();
    files.pop().filter(|_| files.is_empty())
}

/// Imports a GGUF file.
pub(super) fn import(path: &Path) -> Result<GgufImport, Diagnostic> {
    let mut header = None;
    let shard = Shard::open_file(path, &mut |file, name| {
        let found = header::parse(file, name)?;
        let entries = entries(&found);
        let bytes = found.bytes;
        header = Some(found);
        Ok((entries, bytes))
    })?;
    let header = header.expect("what opened has a header");
    let name = shard.identity.name.clone();
    let meta = Metadata { values: &header.metadata, bytes: shard.file(), file: &name };
    if meta.integer("split.count")?.unwrap_or(1) > 1 {
        return Err(meta
            .unsupported("`split.count`: expected a whole model in one file, found a part of it".into())
            .hint("join the parts with llama.cpp: llama-gguf-split --merge FIRST WHOLE.gguf"));
    }
    let made = made_files(&meta, &header)?;
    let turned = config::architecture(&meta)?.turned;
    let config = parse_config(&made.config, &format!("{name} (its {CONFIG})"))?;
    let mut files = made.text;
    files.insert(0, (CONFIG, made.config));
    files.extend(made.generation.map(|generation| (GENERATION_CONFIG_FILE, generation)));
    let carried = files.into_iter().map(|(name, bytes)| CarriedFile::made(name, bytes)).collect();
    let mut checkpoint = Checkpoint::of_shard(shard);
    scale_norm(&config, &mut checkpoint);
    checkpoint.adopt(decoded_weights(&checkpoint, &header, &config, turned)?);
    Ok(GgufImport { config, checkpoint, files: carried, warnings: made.warning.into_iter().collect() })
}

/// The files that the metadata amounts to.
struct MadeFiles {
    config: Vec<u8>,
    generation: Option<Vec<u8>>,
    text: Vec<(&'static str, Vec<u8>)>,
    warning: Option<Diagnostic>,
}

fn made_files(meta: &Metadata<'_>, header: &GgufHeader) -> Result<MadeFiles, Diagnostic> {
    let embedding = header.tensors.get("token_embd.weight").and_then(|tensor| tensor.shape.first());
    let vocabulary =
        embedding.ok_or_else(|| meta.refuse("expected `token_embd.weight`, found no such tensor".into()))?;
    let factors = rope_factors(meta, header)?;
    let has = |name: &str| header.tensors.contains_key(name);
    let facts = TensorFacts {
        vocabulary: *vocabulary,
        has_head: has("output.weight"),
        has_attention_bias: has("blk.0.attn_q.bias"),
        has_mlp_bias: has("blk.0.ffn_gate.bias"),
        rope_factors: factors.as_deref(),
    };
    let config = json_bytes(&config::config(meta, &facts)?);
    let (text, warning) = tokenizer::files(meta)?;
    Ok(MadeFiles { config, generation: generation(meta)?, text, warning })
}

fn json_bytes(value: &Value) -> Vec<u8> {
    (serde_json::to_string_pretty(value).expect("a JSON value has string keys") + "\n").into_bytes()
}

/// The values of the tensor of rotary factors, in f32.
fn rope_factors(meta: &Metadata<'_>, header: &GgufHeader) -> Result<Option<Vec<f32>>, Diagnostic> {
    let Some(tensor) = header.tensors.get(ROPE_FACTORS) else { return Ok(None) };
    let bytes = &meta.bytes[tensor.bytes.clone()];
    if tensor.block.name != "F32" || tensor.shape.len() != 1 {
        let (kind, shape) = (tensor.block, &tensor.shape);
        return Err(meta
            .refuse(format!("tensor `{ROPE_FACTORS}`: expected a vector in F32, found {kind:?} {shape:?}")));
    }
    Ok(Some(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
}

/// How texts end, and how tokens are chosen where the file says so.
fn generation(meta: &Metadata<'_>) -> Result<Option<Vec<u8>>, Diagnostic> {
    let mut ends: Vec<u64> = vec![];
    for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
        let end = meta.integer(&format!("tokenizer.ggml.{key}"))?;
        ends.extend(end.filter(|end| !ends.contains(end)));
    }
    let mut config = json!({});
    if !ends.is_empty() {
        config["eos_token_id"] = json!(ends);
    }
    for (key, name) in [("temp", "temperature"), ("top_p", "top_p")] {
        if let Some(value) = meta.float(&format!("general.sampling.{key}"))? {
            config[name] = value.into();
            config["do_sample"] = true.into();
        }
    }
    if let Some(value) = meta.integer("general.sampling.top_k")? {
        config["top_k"] = value.into();
    }
    Ok(config.as_object().is_some_and(|map| !map.is_empty()).then(|| json_bytes(&config)))
}

/// The tensors by the names that transformers gives them; of those that it has not, by their own.
fn entries(header: &GgufHeader) -> BTreeMap<String, TensorEntry> {
    let entry = |(name, tensor): (&String, &GgufTensor)| {
        let plain = match tensor.block.name {
            "F32" => Some(Dtype::F32),
            "F16" => Some(Dtype::F16),
            "BF16" => Some(Dtype::BF16),
            _ => None,
        };
        let len = tensor.bytes.len();
        let (dtype, shape) = match plain {
            Some(dtype) => (dtype, tensor.shape.clone()),
            None => (Dtype::U8, vec![len as u64]),
        };
        let entry = TensorEntry { dtype, shape, start: tensor.bytes.start, len };
        (weights::name_in_architecture(name).unwrap_or_else(|| name.clone()), entry)
    };
    header.tensors.iter().map(entry).collect()
}

/// The weights that have to be decoded, each with the shape that the architecture gives it; `turned` where the rows of queries
/// and keys lie in llama.cpp's own order.
fn decoded_weights(
    checkpoint: &Checkpoint,
    header: &GgufHeader,
    config: &ModelConfig,
    turned: bool,
) -> Result<QuantizedWeights, Diagnostic> {
    let mut found = QuantizedWeights::default();
    let mut findings = Findings::default();
    let named: BTreeMap<String, &GgufTensor> = header
        .tensors
        .iter()
        .filter_map(|(name, tensor)| Some((weights::name_in_architecture(name)?, tensor)))
        .collect();
    for parameter in parameters(config) {
        let source = parameter.source;
        let heads = match source.split('.').nth_back(1) {
            Some("q_proj") if turned => Some(config.model.heads),
            Some("k_proj") if turned => Some(config.model.kv_heads),
            _ => None,
        };
        let Some(tensor) = named.get(&source).filter(|tensor| BlockWeight::is_needed(tensor, heads)) else {
            continue;
        };
        let stored: Option<StoredTensor> = checkpoint.stored(&source);
        match stored {
            Some(stored) if tensor.shape == parameter.shape => {
                let shape = parameter.shape;
                let weight = BlockWeight { tensor: stored, block: tensor.block, shape, heads };
                found.read.insert(source.clone());
                found.weights.insert(source, QuantizedWeight::Blocks(weight));
            }
            _ => {
                let message = format!("expected shape {:?}, found {:?}", parameter.shape, tensor.shape);
                findings.add(None, &source, message);
            }
        }
    }
    if header.tensors.contains_key(ROPE_FACTORS) {
        found.read.insert(ROPE_FACTORS.into());
    }
    let expected = "expected the tensors of the file's metadata";
    findings.into_result(error_code::BINDING, CONFIG, expected)?;
    Ok(found)
}

/// Reads the header of a whole file and makes the files that its metadata amounts to; `name` is for messages. Never panics,
/// whatever the bytes.
pub fn check_gguf(file: &[u8], name: &str) -> Result<(), Diagnostic> {
    let header = header::parse(file, name)?;
    let meta = Metadata { values: &header.metadata, bytes: file, file: name };
    let made = made_files(&meta, &header)?;
    parse_config(&made.config, name).map(drop)
}
