//! Weight tensors and the files that hold them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Component, ComponentSpec, ElementType, Format, Layout};

/// Index of a tensor in [`super::Plan::tensors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct TensorId(pub u32);

impl fmt::Display for TensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tensor {}", self.0)
    }
}

/// A weight tensor as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tensor {
    /// Name in the program, such as `layers.3.self_attn.qkv_proj`.
    pub name: String,
    /// Checkpoint tensors that it was made from, their rows one after another.
    pub sources: Vec<Source>,
    /// How its values are encoded.
    pub format: Format,
    /// In which order its codes and scales lie.
    pub layout: Layout,
    /// Rows (output channels); 1 for vectors.
    pub rows: u64,
    /// Columns (input channels).
    pub cols: u64,
    /// The stored arrays.
    pub parts: Vec<StoredComponent>,
}

impl Tensor {
    /// Number of weights.
    pub fn weights(&self) -> u64 {
        self.rows * self.cols
    }

    /// Bytes that it is stored in, every scale counted.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.bytes).sum()
    }

    /// Whether it is the matrix of a decoder layer's linear, which bits per weight are counted over.
    pub fn is_decoder_linear(&self) -> bool {
        self.rows > 1 && self.name.starts_with("layers.")
    }
}

/// A checkpoint tensor that went into a plan tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name in the checkpoint, such as `model.layers.3.self_attn.q_proj.weight`.
    pub name: String,
    /// Shape in the checkpoint.
    pub shape: Vec<u64>,
    /// BLAKE3 of its bytes in the checkpoint, in hex.
    pub blake3: String,
}

/// An array of a tensor, and where its bytes lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StoredComponent {
    /// Which array of the format. Its name in the file is `TENSOR.COMPONENT`.
    pub component: Component,
    /// What its elements are stored as.
    pub dtype: ElementType,
    /// Shape in the tensor's layout.
    pub shape: Vec<u64>,
    /// Index into [`super::Plan::weights`].
    pub file: u32,
    /// First byte, counted from the start of the file; a multiple of 64.
    pub offset: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of the bytes, in hex.
    pub blake3: String,
}

impl StoredComponent {
    /// An array still without its place and its bytes.
    pub fn unplaced(spec: ComponentSpec) -> StoredComponent {
        let bytes = spec.bytes();
        let ComponentSpec { component, dtype, shape, .. } = spec;
        StoredComponent { component, dtype, shape, file: 0, offset: 0, bytes, blake3: String::new() }
    }
}

/// A safetensors file with weights. Its header is a function of the manifest ([`super::weights_header`], where the
/// rule that places parts stands too), so it is hashed whole; parts and the zeros that align them fill the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WeightsFile {
    /// File name, `weights-00001-of-00002.safetensors`.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Bytes of the length prefix and the header.
    pub header_bytes: u64,
    /// BLAKE3 of the length prefix and the header, in hex.
    pub header_blake3: String,
}

/// Any other file of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PlainFile {
    /// Path inside the plan.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 of the file, in hex.
    pub blake3: String,
}

/// Name of the weights file `index` (from 0) of `count`.
pub fn weights_file_name(index: usize, count: usize) -> String {
    format!("weights-{:05}-of-{count:05}.safetensors", index + 1)
}
