//! Import: a Hugging Face checkpoint becomes the model-phase graph, its weights stay where they are.
//!
//! `config.json` gives the model ([`ModelConfig`]) and with it the graph ([`build_graph`]); the weights are mapped
//! ([`Checkpoint`]) and bound to the graph's parameters ([`bind()`]), each exactly once. Whatever is wrong is a
//! [`Diagnostic`]; nothing here panics on outside bytes or guesses what a file leaves open.

mod added_tokens;
mod bind;
mod carried;
mod checkpoint;
mod config;
mod dimensions;
mod download;
mod e2m1;
mod eos;
mod family;
mod file_names;
mod findings;
mod gguf;
mod graph;
mod irrelevant;
mod json;
mod layout;
mod multipliers;
mod name;
mod parameter;
mod prefix;
mod quantized;
mod rope;
mod rope_config;
mod shard;
mod source_rows;
mod tensor_view;
mod widen;
mod window;

use std::path::Path;

use samp_ir::{Context, Diagnostic, Dtype, Module};
use samp_runtime::{Wanted, generation_config::GENERATION_CONFIG_FILE};

use self::{file_names::CONFIG, gguf::GgufImport};
use crate::{error_code, wrong_path::expect_path};

pub use bind::bind;
pub use carried::{CARRIED_FILES, CarriedContent, CarriedFile, MAX_CARRIED_BYTES, check_text};
pub use checkpoint::{Checkpoint, parse_index};
pub use config::{ModelConfig, parse_config};
pub use file_names::{INDEX_FILE, SINGLE_FILE};
pub use gguf::check_gguf;
pub(crate) use gguf::{GgufArchitecture, gguf_architecture, gguf_name, merges_of_scores, pre_tokenizers};
pub use graph::build_graph;
pub use irrelevant::IRRELEVANT;
pub(crate) use name::check_name;
pub(crate) use parameter::joined;
pub use parameter::{Parameter, parameters};
pub use rope::{RopeConfig, RopeScaling};
pub use shard::{FileIdentity, TensorEntry, parse_safetensors};
pub use source_rows::SourceRows;
pub use tensor_view::{TensorView, WeightView};

/// A checkpoint whose every tensor is bound.
#[derive(Debug)]
pub struct Import {
    /// What the checkpoint is called; `None` where its path has no name.
    pub name: Option<String>,
    /// What `config.json` says.
    pub config: ModelConfig,
    /// The weights, mapped where they lie.
    pub checkpoint: Checkpoint,
    /// Files that the plan carries along.
    pub files: Vec<CarriedFile>,
    /// What was found that does not keep the checkpoint from being compiled.
    pub warnings: Vec<Diagnostic>,
}

/// Imports the checkpoint in `dir`, or a GGUF file. Where there is none, the finding says what is there and what to do.
pub fn import(dir: &Path) -> Result<Import, Diagnostic> {
    if let Some(file) = gguf::file_at(dir) {
        return import_gguf(dir, &file);
    }
    expect_path(dir, Wanted::Checkpoint, error_code::WRONG_PATH)?;
    download::refuse_pointers(dir)?;
    let mut config = import_config(&dir.join(CONFIG))?;
    if config.quantization.is_none() {
        config.quantization = quantized::beside_config(dir)?;
    }
    let mut checkpoint = Checkpoint::open(dir)?;
    let mut warnings = std::mem::take(&mut config.warnings);
    warnings.extend(layout::adopt_layout(&mut config, &mut checkpoint));
    if let Some(method) = &config.quantization {
        let quantized = quantized::find(method, &parameters(&config), &checkpoint)?;
        warnings.extend(quantized.warning());
        config.kv_scales = quantized::kv_scales(&checkpoint, config.model.layers);
        checkpoint.adopt(quantized);
    }
    warnings.extend(bind(&config, &checkpoint)?);
    let (files, found) = carried::carried_files(dir, config.model.vocab_size)?;
    warnings.extend(found);
    let eos = carried::generation_eos(dir, config.model.vocab_size, &mut warnings)?;
    if !eos.is_empty() {
        config.model.eos_token_ids = eos;
    }
    Ok(Import { name: name::name_of(dir), config, checkpoint, files, warnings })
}

fn import_gguf(path: &Path, file: &Path) -> Result<Import, Diagnostic> {
    let GgufImport { mut config, checkpoint, files, mut warnings } = gguf::import(file)?;
    warnings.append(&mut config.warnings);
    warnings.extend(bind(&config, &checkpoint)?);
    let vocab = config.model.vocab_size;
    let content = |name: &str| files.iter().find(|file| file.name == name).map(CarriedFile::made_bytes);
    warnings.extend(check_text(&|name| content(name).flatten(), vocab)?);
    if let Some(bytes) = content(GENERATION_CONFIG_FILE).flatten() {
        let ends = carried::eos_of(bytes, vocab, &mut warnings)?;
        if !ends.is_empty() {
            config.model.eos_token_ids = ends;
        }
    }
    let name = if path.is_dir() { name::name_of(path) } else { name::name_of_file(path) };
    Ok(Import { name, config, checkpoint, files, warnings })
}

/// Imports a `config.json` alone: enough for the graph, its sizes and its costs.
pub fn import_config(path: &Path) -> Result<ModelConfig, Diagnostic> {
    let name = path.file_name().map_or(CONFIG.into(), |name| name.to_string_lossy());
    parse_config(&carried::read(path, &name)?, &name)
}

impl Import {
    /// The model-phase graph, its weights typed as the checkpoint stores them.
    pub fn build_graph(&self, context: &Context) -> Module {
        let dtype = |source: &str| Dtype::from_element(self.checkpoint.weight(source)?.dtype);
        build_graph(context, &self.config, &|source| dtype(source).unwrap_or(Dtype::F32))
    }
}

impl ModelConfig {
    /// The model-phase graph without weights, typed as the config states; f32 if it does not.
    pub fn build_graph(&self, context: &Context) -> Module {
        let dtype = self.dtype.and_then(Dtype::from_element).unwrap_or(Dtype::F32);
        build_graph(context, self, &|_| dtype)
    }
}
