//! What is exported, where to, and what may be replaced there.

use std::path::Path;

use samp_runtime::Progress;

use super::float_type::FloatType;
use crate::{checkpoint_files::own_files, emit::output_kind::OutputKind, lower::DEFAULT_FILE_BYTES};

/// The file in the folder of an export to llama.cpp.
pub(super) const GGUF_FILE: &str = "model.gguf";
/// Says which plan an exported checkpoint came from, and that it may be replaced by another export.
pub const EXPORT_FILE: &str = "samp-export.json";
pub(super) const CHECKPOINT: OutputKind = OutputKind {
    name: "a checkpoint that samp exported",
    marker: EXPORT_FILE,
    own: |folder| {
        let mut own = own_files(folder, EXPORT_FILE)?;
        own.insert(GGUF_FILE.into());
        Ok(own)
    },
};
pub(super) const CONFIG: &str = "config.json";

/// Whose checkpoint to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Hugging Face's plain one, every weight decoded into this type.
    HuggingFace(FloatType),
    /// compressed-tensors, which vLLM and transformers read.
    CompressedTensors,
    /// bitsandbytes, which transformers reads.
    Bitsandbytes,
    /// GGUF, which llama.cpp reads.
    Gguf,
}

/// How to export.
pub struct ExportOptions<'a> {
    /// The folder to make.
    pub out: &'a Path,
    /// Whose checkpoint to write.
    pub stack: Stack,
    /// Round weights that the stack cannot hold as they are.
    pub allow_rounding: bool,
    /// Replace an export that is already there.
    pub force: bool,
    /// Most data bytes of one file, unless a single tensor takes more.
    pub max_file_bytes: u64,
    /// Hears of progress.
    pub progress: &'a dyn Progress,
}

impl<'a> ExportOptions<'a> {
    /// Exports to `out` as plain f32, with files of the usual size.
    pub fn new(out: &'a Path, force: bool, progress: &'a dyn Progress) -> ExportOptions<'a> {
        let stack = Stack::HuggingFace(FloatType::F32);
        let max_file_bytes = DEFAULT_FILE_BYTES;
        ExportOptions { out, stack, allow_rounding: false, force, max_file_bytes, progress }
    }
}
