//! The program: buffers and the steps over them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::TensorId;
use crate::ElementType;

/// Index of a buffer in [`Program::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct BufferId(pub u32);

impl fmt::Display for BufferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

/// What a step of the model executes, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Upper bounds of the token buckets, ascending; the last is `limits.max_tokens`.
    pub buckets: Vec<u64>,
    /// Every activation buffer.
    pub buffers: Vec<Buffer>,
    /// The steps, in execution order.
    pub steps: Vec<Step>,
    /// The buffer that holds the logits, f32 `[outputs, vocab]`.
    pub logits: BufferId,
    /// The kernel that chooses tokens among the logits, where they are not asked for themselves.
    pub sampler: String,
}

impl Program {
    /// What activations are stored as, the residual stream and the logits aside, which are f32: the type of the first buffer
    /// that is not, or f32 if there is none.
    pub fn activations(&self) -> ElementType {
        let narrow = self.buffers.iter().map(|buffer| buffer.dtype).find(|&dtype| dtype != ElementType::F32);
        narrow.unwrap_or(ElementType::F32)
    }
}

/// A range of the activation arena, `[rows, width]` elements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Buffer {
    /// What counts the rows.
    pub rows: RowDim,
    /// Elements of a row.
    pub width: u64,
    /// What its elements are stored as.
    pub dtype: ElementType,
    /// Start in the arena, in bytes; a multiple of 64.
    pub offset: u64,
    /// Size in bytes at the limits.
    pub bytes: u64,
}

/// What counts the rows of a buffer. Both are at most `limits.max_tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RowDim {
    /// The step's tokens.
    Tokens,
    /// The tokens whose logits are asked for.
    Outputs,
}

/// One operation with the kernel for each token bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Name for people, such as `layers.3.self_attn.qkv_proj`.
    pub label: String,
    /// What to compute.
    pub op: Op,
    /// The kernel for each bucket, in the order of [`Program::buckets`].
    pub kernels: Vec<KernelChoice>,
}

/// The kernel of one bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KernelChoice {
    /// The bucket's upper bound.
    pub max_tokens: u64,
    /// The kernel's name in the registry.
    pub kernel: String,
}

/// An operation. Rows of every operand are the step's tokens, or its outputs after [`Op::Gather`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// `out[t] = weight[token[t]]`.
    Embed {
        /// Embedding table `[vocab, hidden]`.
        weight: TensorId,
        /// The embedded tokens, `[tokens, hidden]`.
        out: BufferId,
    },
    /// `out[t] = x[t] / sqrt(mean(x[t]²) + eps) · weight`; where the weight is narrower than a row, of each head of its width by
    /// itself.
    RmsNorm {
        /// The rows to normalise.
        x: BufferId,
        /// Norm weight `[1, width]`, or `[1, head_dim]`, f32.
        weight: TensorId,
        /// Added to the mean square.
        eps: f64,
        /// The normalised rows.
        out: BufferId,
    },
    /// `sum = x + residual`, then `out = rms_norm(sum)`.
    AddRmsNorm {
        /// What the layer's part before gave.
        x: BufferId,
        /// The residual stream so far.
        residual: BufferId,
        /// Norm weight `[1, width]`, f32.
        weight: TensorId,
        /// Added to the mean square.
        eps: f64,
        /// The sum, which may be the same range as `x` or `residual`.
        sum: BufferId,
        /// The normalised sum.
        out: BufferId,
    },
    /// `out = a + b`.
    Add {
        /// One of the two summands.
        a: BufferId,
        /// The other of the two.
        b: BufferId,
        /// The sum of both.
        out: BufferId,
    },
    /// `out[t] = weight · x[t] + bias`.
    Linear {
        /// Input `[tokens, cols]`.
        x: BufferId,
        /// Weight `[rows, cols]`.
        weight: TensorId,
        /// Bias `[1, rows]`, f32.
        bias: Option<TensorId>,
        /// Result `[tokens, rows]`.
        out: BufferId,
    },
    /// Splits `qkv` into queries, keys and values (in this order), turns queries and keys by their position,
    /// appends keys and values to the layer's cache.
    RopeAppend {
        /// `[tokens, (heads + 2·kv_heads)·head_dim]`.
        qkv: BufferId,
        /// The layer whose cache is appended to.
        layer: u64,
        /// Turned queries `[tokens, heads·head_dim]`.
        out: BufferId,
    },
    /// Causal attention of each query over its own sequence's cache, scaled by `head_dim^-1/2`.
    PagedAttention {
        /// Turned queries `[tokens, heads·head_dim]`.
        q: BufferId,
        /// The layer whose cache is read.
        layer: u64,
        /// Result `[tokens, heads·head_dim]`.
        out: BufferId,
    },
    /// `out = silu(gate) · up` over `gate_up = [gate, up]`.
    SiluMul {
        /// Gates and ups side by side, `[tokens, 2·width]`.
        gate_up: BufferId,
        /// Result `[tokens, width]`.
        out: BufferId,
    },
    /// `out[t] = parts[0][t] ‖ parts[1][t] ‖ …`: linears over one input, side by side as the joined one would give them.
    Concat {
        /// Inputs `[tokens, width of the part]`, at least two.
        parts: Vec<BufferId>,
        /// Result, as wide as all parts together.
        out: BufferId,
    },
    /// `out[o] = x[output_rows[o]]`: from here on only the rows whose logits are asked for.
    Gather {
        /// Input `[tokens, width]`.
        x: BufferId,
        /// Result `[outputs, width]`.
        out: BufferId,
    },
}

/// The kind of an operation, as the kernel registry names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "all variants but `Sample` are those of `Op`, documented there")]
pub enum OpKind {
    Embed,
    RmsNorm,
    AddRmsNorm,
    Add,
    Linear,
    RopeAppend,
    PagedAttention,
    SiluMul,
    Concat,
    Gather,
    /// Choosing tokens among the logits, which no step of a program does: it follows them where it is asked for.
    Sample,
}

crate::named_enum! {
    OpKind {
        (OpKind::Embed) => "embed",
        (OpKind::RmsNorm) => "rms_norm",
        (OpKind::AddRmsNorm) => "add_rms_norm",
        (OpKind::Add) => "add",
        (OpKind::Linear) => "linear",
        (OpKind::RopeAppend) => "rope_append",
        (OpKind::PagedAttention) => "paged_attention",
        (OpKind::SiluMul) => "silu_mul",
        (OpKind::Concat) => "concat",
        (OpKind::Gather) => "gather",
        (OpKind::Sample) => "sample",
    }
}

impl Op {
    /// The kind of this operation.
    pub const fn kind(&self) -> OpKind {
        match self {
            Op::Embed { .. } => OpKind::Embed,
            Op::RmsNorm { .. } => OpKind::RmsNorm,
            Op::AddRmsNorm { .. } => OpKind::AddRmsNorm,
            Op::Add { .. } => OpKind::Add,
            Op::Linear { .. } => OpKind::Linear,
            Op::RopeAppend { .. } => OpKind::RopeAppend,
            Op::PagedAttention { .. } => OpKind::PagedAttention,
            Op::SiluMul { .. } => OpKind::SiluMul,
            Op::Concat { .. } => OpKind::Concat,
            Op::Gather { .. } => OpKind::Gather,
        }
    }

    /// Buffers that the operation reads.
    pub fn reads(&self) -> Vec<BufferId> {
        match *self {
            Op::Embed { .. } => vec![],
            Op::RmsNorm { x, .. } | Op::Linear { x, .. } | Op::Gather { x, .. } => vec![x],
            Op::AddRmsNorm { x, residual, .. } => vec![x, residual],
            Op::Add { a, b, .. } => vec![a, b],
            Op::RopeAppend { qkv, .. } => vec![qkv],
            Op::PagedAttention { q, .. } => vec![q],
            Op::SiluMul { gate_up, .. } => vec![gate_up],
            Op::Concat { ref parts, .. } => parts.clone(),
        }
    }

    /// Buffers that the operation writes.
    pub fn writes(&self) -> Vec<BufferId> {
        match *self {
            Op::AddRmsNorm { sum, out, .. } => vec![sum, out],
            Op::Embed { out, .. }
            | Op::RmsNorm { out, .. }
            | Op::Add { out, .. }
            | Op::Linear { out, .. }
            | Op::RopeAppend { out, .. }
            | Op::PagedAttention { out, .. }
            | Op::SiluMul { out, .. }
            | Op::Concat { out, .. }
            | Op::Gather { out, .. } => vec![out],
        }
    }

    /// Tensors that the operation reads.
    pub fn tensors(&self) -> Vec<TensorId> {
        match *self {
            Op::Embed { weight, .. } | Op::RmsNorm { weight, .. } | Op::AddRmsNorm { weight, .. } => {
                vec![weight]
            }
            Op::Linear { weight, bias, .. } => [Some(weight), bias].into_iter().flatten().collect(),
            _ => vec![],
        }
    }
}
