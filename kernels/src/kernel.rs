//! What a kernel is: what it is asked, which operation it computes where, how well, and how it is called.
//!
//! The folders of the operations fill in the rows; [`registry`](crate::registry) lists them.

use crate::{
    args,
    cost::{Nanos, Work},
    target::Target,
};
use samp_abi::{BLOCK, ElementType, Format, Layout, TargetName, plan::OpKind};
use serde::{Deserialize, Serialize};

/// What a kernel is asked to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpShape {
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

impl OpShape {
    /// An operation over rows of so many values, without a packed weight.
    pub fn over_rows(width: u64, activations: ElementType) -> OpShape {
        OpShape { tokens: 1, rows: width, cols: 0, format: None, activations, context: 0 }
    }

    /// A linear over a weight `[rows, cols]`, or a lookup in it; nothing takes a weight without a format.
    pub fn with_weight(
        rows: u64,
        cols: u64,
        format: impl Into<Option<Format>>,
        activations: ElementType,
    ) -> OpShape {
        OpShape { cols, format: format.into(), ..OpShape::over_rows(rows, activations) }
    }

    /// Attention, or RoPE and the append, over rows of so many values, with keys and values kept in `kv`.
    pub fn over_cache(width: u64, kv: Format, activations: ElementType) -> OpShape {
        OpShape { format: Some(kv), ..OpShape::over_rows(width, activations) }
    }

    /// The same for so many tokens, whose attention reads `context` positions.
    pub fn at(self, tokens: u64, context: u64) -> OpShape {
        OpShape { tokens, context, ..self }
    }

    /// Choosing a token of `vocab` for each of so many outputs, whose logits are f32.
    pub fn sample(outputs: u64, vocab: u64) -> OpShape {
        OpShape::over_rows(vocab, ElementType::F32).at(outputs, 0)
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

/// A row of the registry: one kernel for one operation.
pub struct Kernel {
    /// Its name in plans, traces and reports.
    pub name: &'static str,
    /// The operation it computes.
    pub op: OpKind,
    /// Targets it runs on.
    pub targets: &'static [TargetName],
    /// The layout it reads its weight in; `None` without a packed weight, or where it reads any layout.
    pub layout: Option<Layout>,
    /// Whether it can compute this shape on one of its targets, the activations being of a type that the target takes.
    pub accepts: fn(&OpShape, &Target) -> bool,
    /// What computing this shape takes.
    pub work: fn(&OpShape) -> Work,
    /// How far it may lie from the reference.
    pub tolerance: Tolerance,
    /// How to call it, and the plain-loop reference that defines what it computes.
    pub entry: Entry,
    /// The CUDA kernel that it stands for; `None` for a kernel of the host.
    pub cuda: Option<CudaKernel>,
    /// Whether it rounds inputs to fewer bits than they are stored in, for speed; an exact plan has none of these.
    pub rounds_inputs: bool,
}

impl Kernel {
    /// Whether it computes this shape on `target`, one of [`Kernel::targets`]. The host takes and gives f32.
    pub fn takes(&self, shape: &OpShape, target: &Target) -> bool {
        (self.cuda.is_some() || shape.activations == ElementType::F32) && (self.accepts)(shape, target)
    }

    /// The time that the target's peak rates allow.
    pub fn roofline(&self, shape: &OpShape, target: &Target) -> Nanos {
        (self.work)(shape).time(target)
    }
}

/// The host function of a kernel and its reference. Both take the same arguments. A kernel of a GPU has no host function of
/// its own: the reference stands for it.
#[derive(Clone, Copy)]
#[allow(missing_docs, reason = "the variants are those of `OpKind`")]
pub enum Entry {
    Embed { run: fn(args::EmbedArgs<'_>), reference: fn(args::EmbedArgs<'_>) },
    RmsNorm { run: fn(args::RmsNormArgs<'_>), reference: fn(args::RmsNormArgs<'_>) },
    AddRmsNorm { run: fn(args::AddRmsNormArgs<'_>), reference: fn(args::AddRmsNormArgs<'_>) },
    Add { run: fn(args::AddArgs<'_>), reference: fn(args::AddArgs<'_>) },
    Linear { run: fn(args::LinearArgs<'_>), reference: fn(args::LinearArgs<'_>) },
    RopeAppend { run: fn(args::RopeAppendArgs<'_>), reference: fn(args::RopeAppendArgs<'_>) },
    PagedAttention { run: fn(args::AttentionArgs<'_>), reference: fn(args::AttentionArgs<'_>) },
    SiluMul { run: fn(args::SiluMulArgs<'_>), reference: fn(args::SiluMulArgs<'_>) },
    Concat { run: fn(args::ConcatArgs<'_>), reference: fn(args::ConcatArgs<'_>) },
    Gather { run: fn(args::GatherArgs<'_>), reference: fn(args::GatherArgs<'_>) },
    Sample { run: fn(args::SampleArgs<'_>), reference: fn(args::SampleArgs<'_>) },
}

/// Which CUDA kernel a row of the registry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are those of `OpKind`, some in several ways")]
pub enum CudaKernel {
    Embed,
    RmsNorm,
    #[cfg(feature = "fp8-activations")]
    RmsNormFp8,
    AddRmsNorm,
    #[cfg(feature = "fp8-activations")]
    AddRmsNormFp8,
    Add,
    /// So many tokens at a time.
    Linear(LinearKind, u32),
    RopeAppend,
    /// Two kernels: for the sequences of one token, and for the others.
    Attention,
    SiluMul,
    #[cfg(feature = "fp8-activations")]
    SiluMulFp8,
    Concat,
    Gather,
    Sample,
}

/// The ways of computing a linear on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinearKind {
    /// 1 to 8 tokens, all of x in shared memory.
    Gemv,
    /// 8 tokens or a multiple of 16 at a time on `mma` units.
    Mma,
    /// 16, 32, 64 or 128 tokens at a time on Hopper's `wgmma` units.
    Wgmma,
    /// The same with x in fp8, where the feature `fp8-activations` is on.
    WgmmaFp8,
}

impl LinearKind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [LinearKind; 4] =
        [LinearKind::Gemv, LinearKind::Mma, LinearKind::Wgmma, LinearKind::WgmmaFp8];

    /// Whether only Hopper has its units.
    pub fn is_wgmma(self) -> bool {
        matches!(self, LinearKind::Wgmma | LinearKind::WgmmaFp8)
    }

    /// Columns of a block, the least that is computed at a time.
    pub(crate) fn block_cols(self) -> u32 {
        if self == LinearKind::WgmmaFp8 { 2 * BLOCK as u32 } else { BLOCK as u32 }
    }
}

/// The GPUs that there are kernels for.
pub(crate) const GPUS: &[TargetName] = &[TargetName::A100, TargetName::H100, TargetName::H200];
/// Those with `wgmma` units.
pub(crate) const HOPPER_TARGETS: &[TargetName] = &[TargetName::H100, TargetName::H200];

/// How far results that are rounded to f16 may lie from the reference, for operands of order one. Those in bf16, which keeps
/// three bits fewer, may lie eight times as far.
pub(crate) const SIXTEEN_BITS: Tolerance = Tolerance { absolute: 1e-3, relative: 1e-3 };

/// The same of results in E4M3 with a scale for each row: half a step of a normal number is 1/16 of it, and a step below them
/// is the row's largest magnitude over 448 · 512.
#[cfg(feature = "fp8-activations")]
pub(crate) const FP8_ROWS: Tolerance = Tolerance { absolute: 1e-4, relative: 1.01 / 16.0 };

/// Whether rows that GPUs write are of a width that they take, as 16 bits or f32.
pub(crate) fn writes_plain_rows(shape: &OpShape, _: &Target) -> bool {
    shape.rows.is_multiple_of(4) && shape.activations != ElementType::U8
}

/// The row of the kernel that writes fp8 where `plain` writes 16 bits: pairs change places within 16 columns.
#[cfg(feature = "fp8-activations")]
pub(crate) const fn fp8_row(plain: Kernel) -> Kernel {
    let accepts: fn(&OpShape, &Target) -> bool =
        |shape, _| shape.rows.is_multiple_of(16) && shape.activations == ElementType::U8;
    Kernel { targets: HOPPER_TARGETS, accepts, tolerance: FP8_ROWS, ..plain }
}
