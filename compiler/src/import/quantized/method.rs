//! What `quantization_config` says: the method that a checkpoint was quantized by, with what its tensors are read by.

use std::path::Path;

use samp_ir::Diagnostic;
use samp_runtime::outside_file::lies_at;
use serde_json::Value;

use super::block_size::block_size;
use super::{
    compressed::{self, Scheme},
    refused::refuse_method,
};
use crate::import::{carried::read, json::Object};

/// Files that say so beside `config.json`, where that does not.
const GPTQ_FILE: &str = "quantize_config.json";
const MODELOPT_FILE: &str = "hf_quant_config.json";
/// Most weights of a group.
const MAX_GROUP: i64 = 1 << 20;

/// A method, with what is needed to read its tensors.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::import) enum Method {
    /// GPTQ of so many bits; zero points are stored less one, except in version 2 of its layout.
    Gptq { bits: usize, group: Option<usize>, version: u8 },
    /// AWQ for its GEMM kernel.
    Awq { group: Option<usize> },
    /// compressed-tensors, as written by llm-compressor.
    CompressedTensors(Vec<Scheme>),
    /// bitsandbytes; its tensors say which of its types.
    Bitsandbytes,
    /// 8-bit floats with a scale for a tensor, a row or a block of so many rows and columns.
    Fp8 { block: Option<[usize; 2]> },
    /// NVIDIA's Model Optimizer, in 4-bit floats.
    Nvfp4,
}

impl Method {
    /// For people.
    pub(in crate::import) fn name(&self) -> &'static str {
        match self {
            Method::Gptq { .. } => "GPTQ",
            Method::Awq { .. } => "AWQ",
            Method::CompressedTensors(_) => "compressed-tensors",
            Method::Bitsandbytes => "bitsandbytes",
            Method::Fp8 { .. } => "fp8",
            Method::Nvfp4 => "NVFP4",
        }
    }
}

/// The method that a `config.json` names, if it names one.
pub(in crate::import) fn of_config(keys: &mut Object<'_>) -> Result<Option<Method>, Diagnostic> {
    for key in ["quantization_config", "compression_config"] {
        if let Some(found) = keys.object(key)? {
            return method(found).map(Some);
        }
    }
    Ok(None)
}

/// The method that a file beside `config.json` names, if there is such a file.
pub(in crate::import) fn beside_config(dir: &Path) -> Result<Option<Method>, Diagnostic> {
    if lies_at(&dir.join(MODELOPT_FILE)) {
        let bytes = read(&dir.join(MODELOPT_FILE), MODELOPT_FILE)?;
        let mut keys = Object::parse(&bytes, MODELOPT_FILE)?;
        let found = keys.object("quantization")?;
        let found = found.ok_or_else(|| keys.missing("quantization", "what the weights are quantized to"))?;
        keys.finish(|key| key == "producer")?;
        return modelopt(found).map(Some);
    }
    if lies_at(&dir.join(GPTQ_FILE)) {
        let bytes = read(&dir.join(GPTQ_FILE), GPTQ_FILE)?;
        return gptq(Object::parse(&bytes, GPTQ_FILE)?).map(Some);
    }
    Ok(None)
}

fn method(mut keys: Object<'_>) -> Result<Method, Diagnostic> {
    let name = keys.text("quant_method")?;
    match name.as_deref() {
        Some("gptq") => gptq(keys),
        Some("awq") => awq(keys),
        Some("compressed-tensors") => compressed::schemes(keys).map(Method::CompressedTensors),
        Some("bitsandbytes") => bitsandbytes(keys),
        Some("fp8") => fp8(keys),
        Some("fbgemm_fp8") => {
            keys.finish(|key| ["activation_scale_ub", "modules_to_not_convert"].contains(&key))?;
            Ok(Method::Fp8 { block: None })
        }
        Some("modelopt" | "modelopt_fp4") => modelopt(keys),
        Some(other) => Err(refuse_method(&keys, other)),
        // Older writers name no method: bitsandbytes says which of its types, compressed-tensors its groups.
        None if keys.peek("load_in_4bit").or(keys.peek("load_in_8bit")).is_some() => bitsandbytes(keys),
        None if keys.peek("config_groups").is_some() => {
            compressed::schemes(keys).map(Method::CompressedTensors)
        }
        None => Err(keys.missing("quant_method", "the method that the checkpoint was quantized by")),
    }
}

/// Keys of GPTQ's and AWQ's configurations that say how the codes were found, or which code is to run.
const HOW_FOUND: &[&str] = &[
    "act_group_aware",
    "backend",
    "batch_size",
    "block_name_to_quantize",
    "cache_block_outputs",
    "damp_auto_increment",
    "damp_percent",
    "dataset",
    "desc_act",
    "disable_exllama",
    "do_fuse",
    "exllama_config",
    "fuse_max_seq_len",
    "lm_head",
    "max_input_length",
    "meta",
    "method",
    "model_file_base_name",
    "model_name_or_path",
    "model_seqlen",
    "module_name_preceding_first_block",
    "modules_in_block_to_quantize",
    "modules_to_fuse",
    "modules_to_not_convert",
    "mse",
    "offload_to_disk",
    "pad_token_id",
    "quant_method",
    "static_groups",
    "sym",
    "tokenizer",
    "true_sequential",
    "use_cuda_fp16",
    "use_exllama",
    "zero_point",
];

/// Weights of a group; −1 stands for all columns.
fn group_size(keys: &mut Object<'_>) -> Result<Option<usize>, Diagnostic> {
    let Some(value) = keys.take("group_size") else { return Ok(None) };
    match value.as_i64() {
        Some(-1) => Ok(None),
        Some(size @ 1..=MAX_GROUP) => Ok(Some(size as usize)),
        _ => Err(keys.wrong("group_size", "−1, or how many weights share a scale", &value)),
    }
}

fn gptq(mut keys: Object<'_>) -> Result<Method, Diagnostic> {
    let bits = keys.integer("bits", 1..=32)?.ok_or_else(|| keys.missing("bits", "4 or 8"))?;
    if !matches!(bits, 2 | 4 | 8) {
        let expected = "2, 4 or 8, because codes of other widths spill from word to word";
        return Err(keys.unsupported("bits", expected, &bits.into()));
    }
    let mut version = 1;
    for key in ["checkpoint_format", "format"] {
        match keys.text(key)?.as_deref() {
            None | Some("gptq") => {}
            Some("gptq_v2") => version = 2,
            Some(other) => {
                let expected = "\"gptq\" or \"gptq_v2\", because other layouts are made for one kernel each";
                return Err(keys.unsupported(key, expected, &other.into()));
            }
        }
    }
    refuse_overrides(&mut keys)?;
    if let Some(found) = keys.text("pack_dtype")?.filter(|found| found != "int32") {
        return Err(keys.unsupported("pack_dtype", "\"int32\"", &found.into()));
    }
    if keys.flag("is_marlin_format")? == Some(true) {
        return Err(keys.unsupported("is_marlin_format", "false", &true.into()));
    }
    let group = group_size(&mut keys)?;
    keys.finish(|key| HOW_FOUND.contains(&key))?;
    Ok(Method::Gptq { bits: bits as usize, group, version })
}

/// Refuses settings of single modules, which would have to be honoured one by one.
fn refuse_overrides(keys: &mut Object<'_>) -> Result<(), Diagnostic> {
    match keys.take("dynamic") {
        Some(Value::Object(map)) if map.is_empty() => Ok(()),
        None => Ok(()),
        Some(found) => Err(keys.unsupported("dynamic", "no settings of single modules", &found)),
    }
}

fn awq(mut keys: Object<'_>) -> Result<Method, Diagnostic> {
    let bits = keys.integer("bits", 1..=32)?.ok_or_else(|| keys.missing("bits", "4"))?;
    if bits != 4 {
        return Err(keys.unsupported("bits", "4", &bits.into()));
    }
    if let Some(version) = keys.text("version")?.filter(|version| !version.eq_ignore_ascii_case("gemm")) {
        let expected = "\"gemm\", because the layouts of gemv, gemv_fast and llm-awq are other ones and no longer written";
        return Err(keys.unsupported("version", expected, &version.into()));
    }
    let group = group_size(&mut keys)?;
    keys.finish(|key| HOW_FOUND.contains(&key))?;
    Ok(Method::Awq { group })
}

fn bitsandbytes(mut keys: Object<'_>) -> Result<Method, Diagnostic> {
    let kinds = ["load_in_4bit", "load_in_8bit", "_load_in_4bit", "_load_in_8bit"];
    for key in kinds {
        keys.flag(key)?;
    }
    // The tensors themselves say the rest.
    keys.finish(|key| key.starts_with("bnb_4bit_") || key.starts_with("llm_int8_"))?;
    Ok(Method::Bitsandbytes)
}

fn fp8(mut keys: Object<'_>) -> Result<Method, Diagnostic> {
    let block = match keys.take("weight_block_size") {
        None => None,
        Some(value) => Some(block_size(&value).ok_or_else(|| {
            keys.wrong("weight_block_size", "the rows and columns that share a scale, as [128, 128]", &value)
        })?),
    };
    if let Some(fmt) = keys.text("fmt")?.filter(|fmt| fmt != "e4m3") {
        return Err(keys.unsupported("fmt", "\"e4m3\"", &fmt.into()));
    }
    const PASSED: &[&str] = &[
        "activation_scheme",
        "dequantize",
        "ignored_layers",
        "kv_cache_scheme",
        "modules_to_not_convert",
        "scale_fmt",
    ];
    keys.finish(|key| PASSED.contains(&key))?;
    Ok(Method::Fp8 { block })
}

fn modelopt(mut keys: Object<'_>) -> Result<Method, Diagnostic> {
    let algorithm =
        keys.text("quant_algo")?.ok_or_else(|| keys.missing("quant_algo", "\"FP8\" or \"NVFP4\""))?;
    let method = match algorithm.as_str() {
        "FP8" => Method::Fp8 { block: None },
        "NVFP4" => Method::Nvfp4,
        other => return Err(keys.unsupported("quant_algo", "\"FP8\" or \"NVFP4\"", &other.into())),
    };
    const PASSED: &[&str] = &[
        "config_groups",
        "exclude_modules",
        "group_size",
        "ignore",
        "kv_cache_quant_algo",
        "kv_cache_scheme",
        "producer",
    ];
    keys.finish(|key| PASSED.contains(&key))?;
    Ok(method)
}
