//! The kernel registry: one row for each kernel, in the order in which ties are broken.
//!
//! A kernel that reads a packed weight is called `OP_FORMAT_LAYOUT_VARIANT`, as in `linear_nf4_rows16_direct`; any
//! other `OP_VARIANT`, as in `rms_norm_cpu`. The variant of a kernel of GPUs ends in the tokens that it computes at a time,
//! where that is one of its constants, as in `linear_nf4_fragments_mma16`.

use crate::{
    attention,
    cost::{Nanos, Work},
    elementwise, embed,
    instantiate::CudaKernel,
    linear,
    measured::Measured,
    rms_norm, rope, sample,
    target::Target,
};
use samp_abi::{ElementType, Format, Layout, TargetName, plan::OpKind};
use serde::{Deserialize, Serialize};

/// What a kernel is asked to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Tokens of the step (the bucket's upper bound).
    pub tokens: u64,
    /// Output channels of a weight, or width of the rows for an operation without one.
    pub rows: u64,
    /// Input channels of a weight; 0 without one.
    pub cols: u64,
    /// Format of the weight, or of the KV cache for attention and RoPE + append.
    pub format: Option<Format>,
    /// What the model's activations are stored as, the residual stream and the logits aside; bytes are fp8 with a scale for
    /// each token.
    pub activations: ElementType,
    /// Cached positions that attention reads per sequence, for cost only.
    pub context: u64,
}

impl Shape {
    /// Choosing a token of `vocab` for each of so many outputs, whose logits are f32.
    pub fn sample(outputs: u64, vocab: u64) -> Shape {
        let activations = ElementType::F32;
        Shape { tokens: outputs, rows: vocab, cols: 0, format: None, activations, context: 0 }
    }
}

/// How far a kernel may lie from its reference: `|a − b| ≤ absolute + relative · |b|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Absolute part, for operands of order one.
    pub absolute: f64,
    /// Part of the reference's magnitude.
    pub relative: f64,
}

/// One kernel.
pub struct Kernel {
    /// Its name in plans, traces and reports.
    pub name: &'static str,
    /// The operation it computes.
    pub op: OpKind,
    /// Targets it runs on.
    pub targets: &'static [TargetName],
    /// The layout it reads its weight in; `None` without a packed weight, or where it reads any layout.
    pub layout: Option<Layout>,
    /// Whether it can compute this shape, its activations being of a type that the target takes.
    pub accepts: fn(&Shape) -> bool,
    /// What computing this shape takes.
    pub work: fn(&Shape) -> Work,
    /// How far it may lie from the reference.
    pub tolerance: Tolerance,
    /// How to call it, and the plain-loop reference that defines what it computes.
    pub entry: Entry,
    /// The CUDA kernel that it stands for; `None` for a kernel of the host.
    pub cuda: Option<CudaKernel>,
}

impl Kernel {
    /// Whether it computes this shape. The host takes and gives f32.
    pub fn takes(&self, shape: &Shape) -> bool {
        (self.cuda.is_some() || shape.activations == ElementType::F32) && (self.accepts)(shape)
    }

    /// The predicted time of a shape, from what was measured on the target, if anything was.
    pub fn time(&self, shape: &Shape, target: &Target) -> Nanos {
        Measured::of(target.name).time(self, shape, target)
    }

    /// The time that the target's peak rates allow.
    pub fn roofline(&self, shape: &Shape, target: &Target) -> Nanos {
        (self.work)(shape).time(target)
    }
}

/// The GPUs that there are kernels for.
pub(crate) const GPUS: &[TargetName] = &[TargetName::A100, TargetName::H100, TargetName::H200];
/// Those with `wgmma` units.
pub(crate) const HOPPER: &[TargetName] = &[TargetName::H100, TargetName::H200];

/// How far results that are rounded to f16 may lie from the reference, for operands of order one. Those in bf16, which keeps
/// three bits fewer, may lie eight times as far.
pub(crate) const SIXTEEN_BITS: Tolerance = Tolerance { absolute: 1e-3, relative: 1e-3 };

/// The same of results in E4M3 with a scale for each row: half a step of a normal number is 1/16 of it, and a step below them
/// is the row's largest magnitude over 448 · 512.
pub(crate) const FP8_ROWS: Tolerance = Tolerance { absolute: 1e-4, relative: 1.01 / 16.0 };

/// Whether rows that GPUs write are of a width that they take, as 16 bits or f32.
pub(crate) fn writes_plain_rows(shape: &Shape) -> bool {
    shape.rows.is_multiple_of(4) && shape.activations != ElementType::U8
}

/// The same as fp8, where pairs change places within 16 columns.
pub(crate) fn writes_fp8_rows(shape: &Shape) -> bool {
    shape.rows.is_multiple_of(16) && shape.activations == ElementType::U8
}

/// The host function of a kernel and its reference. Both take the same arguments. A kernel of a GPU has no host function of
/// its own: the reference stands for it.
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the variants are those of `OpKind`")]
pub enum Entry {
    Embed { run: fn(embed::EmbedArgs<'_>), reference: fn(embed::EmbedArgs<'_>) },
    RmsNorm { run: fn(rms_norm::RmsNormArgs<'_>), reference: fn(rms_norm::RmsNormArgs<'_>) },
    AddRmsNorm { run: fn(rms_norm::AddRmsNormArgs<'_>), reference: fn(rms_norm::AddRmsNormArgs<'_>) },
    Add { run: fn(elementwise::AddArgs<'_>), reference: fn(elementwise::AddArgs<'_>) },
    Linear { run: fn(linear::LinearArgs<'_>), reference: fn(linear::LinearArgs<'_>) },
    RopeAppend { run: fn(rope::RopeAppendArgs<'_>), reference: fn(rope::RopeAppendArgs<'_>) },
    PagedAttention { run: fn(attention::AttentionArgs<'_>), reference: fn(attention::AttentionArgs<'_>) },
    SiluMul { run: fn(elementwise::SiluMulArgs<'_>), reference: fn(elementwise::SiluMulArgs<'_>) },
    Concat { run: fn(elementwise::ConcatArgs<'_>), reference: fn(elementwise::ConcatArgs<'_>) },
    Gather { run: fn(elementwise::GatherArgs<'_>), reference: fn(elementwise::GatherArgs<'_>) },
    Sample { run: fn(sample::SampleArgs<'_>), reference: fn(sample::SampleArgs<'_>) },
}

/// Every kernel, in table order.
pub fn kernels() -> impl Iterator<Item = &'static Kernel> {
    [
        embed::KERNELS,
        rms_norm::KERNELS,
        linear::KERNELS,
        linear::fragments::KERNELS,
        linear::fragments::FP8_KERNELS,
        rope::KERNELS,
        attention::KERNELS,
        elementwise::KERNELS,
        sample::KERNELS,
    ]
    .into_iter()
    .flatten()
}

/// The kernel of this name.
pub fn find(name: &str) -> Option<&'static Kernel> {
    kernels().find(|k| k.name == name)
}

/// The kernels that compute `op` of this shape on `target`, in table order.
pub fn candidates(target: TargetName, op: OpKind, shape: Shape) -> impl Iterator<Item = &'static Kernel> {
    kernels().filter(move |k| k.op == op && k.targets.contains(&target) && k.takes(&shape))
}

/// The candidate that the cost model rates fastest; of equals the first in table order.
pub fn cheapest(target: TargetName, op: OpKind, shape: Shape) -> Option<&'static Kernel> {
    let time = |kernel: &Kernel| kernel.time(&shape, Target::of(target)).0;
    candidates(target, op, shape).min_by(|a, b| time(a).total_cmp(&time(b)))
}
