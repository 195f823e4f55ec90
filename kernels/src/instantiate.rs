//! From a step of a plan to the CUDA kernel that it names, with everything that the plan fixes.
//!
//! The compiler asks for the sources, to compile them ahead of time; the runtime asks again when it loads the plan, to find
//! the code and to launch it. So both say the same of it, and a plan holds no launch geometry.

use samp_abi::{
    ElementType, Format, Layout,
    plan::{BufferId, KvCache, Model, Op, Program, Step, TensorId},
};

use crate::{
    attention::cuda::Attention,
    cuda::{Activation, Source},
    elementwise::cuda::{Concat, Rows},
    embed,
    kernel::{CudaKernel, Kernel, LinearKind, OpShape},
    kv_cache::KvGeometry,
    linear::cuda::Linear,
    registry,
    rms_norm::cuda::Norm,
    sample,
};

/// What a plan fixes for its kernels.
#[derive(Clone, Copy)]
pub struct PlanConstants<'a> {
    /// What the model is.
    pub model: &'a Model,
    /// How keys and values are kept.
    pub kv: &'a KvCache,
    /// The steps' buffers.
    pub program: &'a Program,
    /// How each tensor is stored.
    pub matrix: &'a dyn Fn(TensorId) -> Matrix,
}

/// How a tensor is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Number format.
    pub format: Format,
    /// Order of the bytes.
    pub layout: Layout,
    /// Output channels.
    pub rows: u64,
    /// Input channels.
    pub cols: u64,
}

/// A kernel as a step needs it, ready to be compiled or launched.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variants are those of `CudaKernel`")]
pub enum LaunchSpec {
    Embed {
        table: Matrix,
    },
    RmsNorm(Norm),
    AddRmsNorm(Norm),
    Add {
        rows: Rows,
        /// Whether the activation is f32 as well.
        wide: bool,
    },
    Linear(Linear),
    RopeAppend(Attention),
    Attention(Attention),
    SiluMul(Rows),
    Concat(Concat),
    Gather(Rows),
    /// Among so many tokens.
    Sample(u32),
}

impl LaunchSpec {
    /// What a program's sampler is. `None` if it is no such kernel of a GPU.
    pub fn sampler(fixed: &PlanConstants<'_>) -> Option<LaunchSpec> {
        let vocab = u32::try_from(fixed.model.vocab_size).ok()?;
        let kernel = registry::find(&fixed.program.sampler)?;
        (kernel.cuda == Some(CudaKernel::Sample) && sample::cuda::source(vocab).is_some())
            .then_some(LaunchSpec::Sample(vocab))
    }

    /// What `kernel` is for a step. `None` if it is not one of a GPU, is for another operation, or does not take what the
    /// step has.
    pub fn of(kernel: &Kernel, step: &Step, fixed: &PlanConstants<'_>) -> Option<LaunchSpec> {
        use {CudaKernel as K, LaunchSpec as S};
        let out = fixed.buffer(step.op.writes()[0]);
        let activation = fixed.activation(&step.op)?;
        let rows = Rows { cols: out.1, activation };
        let norm = Norm { cols: out.1, activation };
        Some(match (kernel.cuda?, &step.op) {
            (K::Embed, Op::Embed { weight, .. }) => {
                let table = (fixed.matrix)(*weight);
                embed::cuda::source(table.format, table.layout, table.cols as u32)?;
                S::Embed { table }
            }
            (K::RmsNorm, Op::RmsNorm { .. }) => S::RmsNorm(norm),
            (K::AddRmsNorm, Op::AddRmsNorm { .. }) => S::AddRmsNorm(norm),
            (K::Add, Op::Add { a, b, .. }) => {
                S::Add { rows, wide: [a, b].iter().all(|id| fixed.buffer(**id).0 == ElementType::F32) }
            }
            // Steps have no buffers for the scales of tokens.
            (K::Linear(LinearKind::WgmmaFp8, _) | K::RmsNormFp8 | K::AddRmsNormFp8 | K::SiluMulFp8, _) => {
                return None;
            }
            (K::Linear(kind, tokens), Op::Linear { weight, bias, .. }) => {
                let matrix = (fixed.matrix)(*weight);
                let shape = (u32::try_from(matrix.rows).ok()?, u32::try_from(matrix.cols).ok()?);
                let linear = Linear::new(kind, matrix.format, shape, tokens)?.with(activation)?;
                S::Linear(Linear { bias: bias.is_some(), f32_out: out.0 == ElementType::F32, ..linear })
            }
            (K::RopeAppend, Op::RopeAppend { .. }) => S::RopeAppend(fixed.attention(activation)?),
            (K::Attention, Op::PagedAttention { .. }) => S::Attention(fixed.attention(activation)?),
            (K::SiluMul, Op::SiluMul { .. }) => S::SiluMul(rows),
            (K::Concat, Op::Concat { parts, .. }) => {
                let widths: Vec<u32> = parts.iter().map(|part| fixed.buffer(*part).1).collect();
                S::Concat(Concat::new(&widths)?)
            }
            (K::Gather, Op::Gather { .. }) => S::Gather(rows),
            _ => return None,
        })
    }

    /// The sources with their constants, in the order in which they are launched.
    pub fn sources(&self) -> Vec<Source> {
        let source = match self {
            LaunchSpec::Embed { table } => {
                embed::cuda::source(table.format, table.layout, table.cols as u32).expect("seen to exist")
            }
            LaunchSpec::RmsNorm(norm) => norm.rms_norm(),
            LaunchSpec::AddRmsNorm(norm) => norm.add_rms_norm(),
            LaunchSpec::Add { rows, wide } => rows.add(*wide),
            LaunchSpec::Linear(linear) => linear.source(),
            LaunchSpec::RopeAppend(attention) => attention.rope_append(),
            LaunchSpec::Attention(attention) => return vec![attention.decode(), attention.prefill()],
            LaunchSpec::SiluMul(rows) => rows.silu_mul(),
            LaunchSpec::Concat(concat) => concat.source(),
            LaunchSpec::Gather(rows) => rows.gather(),
            LaunchSpec::Sample(vocab) => sample::cuda::source(*vocab).expect("seen to exist"),
        };
        vec![source]
    }
}

impl PlanConstants<'_> {
    /// What the registry is asked for an operation over so many tokens, whose attention reads `context` positions.
    pub fn shape(&self, op: &Op, tokens: u64, context: u64) -> OpShape {
        let activations = self.program.activations();
        let shape = |rows, cols, format| OpShape { tokens, rows, cols, format, activations, context };
        let width = |id: BufferId| self.program.buffers[id.0 as usize].width;
        let plain = |id: BufferId| shape(width(id), 0, None);
        let cached = |id: BufferId| shape(width(id), 0, Some(self.kv.format));
        match *op {
            Op::Embed { weight, .. } | Op::Linear { weight, .. } => {
                let Matrix { rows, cols, format, .. } = (self.matrix)(weight);
                shape(rows, cols, Some(format))
            }
            Op::RopeAppend { qkv, .. } => cached(qkv),
            Op::PagedAttention { out, .. } => cached(out),
            Op::RmsNorm { out, .. }
            | Op::AddRmsNorm { out, .. }
            | Op::Add { out, .. }
            | Op::SiluMul { out, .. }
            | Op::Concat { out, .. }
            | Op::Gather { out, .. } => plain(out),
        }
    }

    /// Element type and width of a buffer.
    fn buffer(&self, id: BufferId) -> (ElementType, u32) {
        let buffer = &self.program.buffers[id.0 as usize];
        (buffer.dtype, buffer.width as u32)
    }

    /// What the activations of an operation are stored as; `None` where kernels of GPUs do not take them.
    fn activation(&self, op: &Op) -> Option<Activation> {
        let of = |id: BufferId| Activation::of(self.buffer(id).0);
        match *op {
            // Only f32 goes in and out.
            Op::Embed { .. } | Op::Gather { .. } => Some(Activation::F16),
            Op::Add { a, b, .. } => Some(of(a).or(of(b)).unwrap_or_default()),
            Op::RmsNorm { out, .. } | Op::AddRmsNorm { out, .. } => of(out),
            _ => op.reads().first().and_then(|&id| of(id)),
        }
    }

    fn attention(&self, activation: Activation) -> Option<Attention> {
        let (model, kv) = (self.model, self.kv);
        // The kernels take the layers' own scales as arguments.
        let geometry = KvGeometry { scales: [1.0; 2], ..KvGeometry::for_layer(model, kv, 0) };
        let window = model.sliding_window.map(|window| window as usize);
        Some(Attention::new(model.heads as usize, geometry, window)?.with(activation))
    }
}
