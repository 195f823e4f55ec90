//! The schema of a plan: everything that `plan.json` says, and the text form with its digest.
//!
//! A plan is a directory; see `docs/architecture.md` for its files. This module is the manifest.

pub mod bounds;
mod golden;
mod manifest;
mod model;
mod name;
mod program;
mod tensor;
mod version;
mod weights;

pub use golden::{GOLDEN_FILE, Golden, GoldenRow};
pub use manifest::{DIGEST_PREFIX, ManifestError, seal, unseal};
pub use model::{Architecture, KvCache, Limits, Model, Rope};
pub use name::{MAX_NAME_CHARS, is_plain_name};
pub use program::{Buffer, BufferId, KernelChoice, Op, OpKind, Program, RowDim, Step};
pub use tensor::{PlainFile, Source, StoredComponent, Tensor, TensorId, WeightsFile, weights_file_name};
pub use version::{ParseVersionError, SCHEMA_VERSION, Version};
pub use weights::{PART_ALIGNMENT, align_part, header_of, parts_by_file, parts_of_file, weights_header};

use crate::TargetName;
use serde::{Deserialize, Serialize};

/// File name of the manifest inside a plan.
pub const MANIFEST_FILE: &str = "plan.json";
/// File name of the manifest's signature, in minisign's format. It lies in the plan's folder and belongs to the plan,
/// though the manifest cannot name it.
pub const SIGNATURE_FILE: &str = "plan.json.minisig";

/// The manifest of a compiled plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this schema.
    pub schema: Version,
    /// BLAKE3 of this text with the 64 hex digits of this very field replaced by zeros.
    pub digest: String,
    /// The machine that the plan is for.
    pub target: TargetName,
    /// What the model is.
    pub model: Model,
    /// The largest batch that the memory plan covers.
    pub limits: Limits,
    /// How keys and values are kept.
    pub kv: KvCache,
    /// What to execute.
    pub program: Program,
    /// Memory that executing the program takes.
    pub memory: Memory,
    /// Every weight tensor, bound exactly once. `TensorId` is the index.
    pub tensors: Vec<Tensor>,
    /// The files that hold the tensors' bytes.
    pub weights: Vec<WeightsFile>,
    /// All other files of the plan.
    pub files: Vec<PlainFile>,
    /// Where the plan came from.
    pub provenance: Provenance,
}

impl Plan {
    /// Bits per weight over the linears of the decoder layers, every scale counted; `None` without any.
    pub fn decoder_bits_per_weight(&self) -> Option<f64> {
        let linears = || self.tensors.iter().filter(|t| t.is_decoder_linear());
        let weights: u64 = linears().map(Tensor::weights).sum();
        let bytes: u64 = linears().map(Tensor::bytes).sum();
        (weights > 0).then(|| 8.0 * bytes as f64 / weights as f64)
    }
}

/// Bytes that the program needs on the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// All weights, in bytes.
    pub weights_bytes: u64,
    /// The activation arena, in bytes; each buffer is a range of it.
    pub arena_bytes: u64,
    /// Keys and values of one token over all layers, in bytes.
    pub kv_bytes_per_token: u64,
}

/// Where a plan came from; nothing in it changes from one run of the same compile to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The checkpoint's name for people: that of its folder, unless another was given. Absent before 2.1, and where
    /// the folder has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `samp` and its version.
    pub tool: String,
    /// The recipe as given: a built-in name or the TOML text.
    pub recipe: String,
    /// The checkpoint's files that the plan was made from, by name.
    pub sources: Vec<SourceFile>,
}

/// One file of the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Its name in the checkpoint's folder.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of the file in hex; of the header alone for weight shards, whose tensors carry their own hash.
    pub blake3: String,
}
