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
    elementwise::cuda::{Concat, ElementwiseRows},
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
    /// What its values are stored as.
    pub format: Format,
    /// Order of the bytes.
    pub layout: Layout,
    /// How many output channels it has.
    pub rows: u64,
    /// How many input channels it has.
    pub cols: u64,
}

/// A kernel as a step needs it, ready to be compiled or launched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaunchSpec {
    /// The row of the registry: what machine code and profiles call the kernel.
    pub name: &'static str,
    /// What is launched.
    pub op: LaunchOp,
}

/// What is launched for an operation, with all that the plan fixes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variants are those of `CudaKernel`")]
pub enum LaunchOp {
    Embed {
        table: Matrix,
        /// What rows are multiplied by.
        scale: f32,
    },
    RmsNorm(Norm),
    AddRmsNorm(Norm),
    Add {
        rows: ElementwiseRows,
        /// Whether the activation is f32 as well.
        wide: bool,
    },
    Linear(Linear),
    RopeAppend(Attention),
    Attention(Attention),
    SiluMul(ElementwiseRows),
    Concat(Concat),
    Gather(ElementwiseRows),
    /// Among so many tokens.
    Sample(u32),
}

impl LaunchSpec {
    /// What `kernel` is for a step. `None` if it is not one of a GPU, is for another operation, or does not take what the
    /// step has.
    pub fn new(kernel: &Kernel, step: &Step, constants: &PlanConstants<'_>) -> Option<LaunchSpec> {
        Some(LaunchSpec { name: kernel.name, op: constants.launch_op(kernel.cuda?, &step.op)? })
    }

    /// What a program's sampler is. `None` if it is no such kernel of a GPU.
    pub fn sampler(constants: &PlanConstants<'_>) -> Option<LaunchSpec> {
        let vocab = u32::try_from(constants.model.vocab_size).ok()?;
        let kernel = registry::find(&constants.program.sampler)?;
        (kernel.cuda == Some(CudaKernel::Sample) && sample::cuda::source(vocab).is_some())
            .then_some(LaunchSpec { name: kernel.name, op: LaunchOp::Sample(vocab) })
    }

    /// The sources with their constants, in the order in which they are launched. A kernel is called as its row is; the two
    /// of attention end in what they are for.
    pub fn sources(&self) -> Vec<Source> {
        let source = match &self.op {
            LaunchOp::Embed { table, scale } => {
                let source = embed::cuda::source(table.format, table.layout, table.cols as u32);
                embed::cuda::scaled(source.expect("seen to exist"), *scale)
            }
            LaunchOp::RmsNorm(norm) => norm.rms_norm(),
            LaunchOp::AddRmsNorm(norm) => norm.add_rms_norm(),
            LaunchOp::Add { rows, wide } => rows.add(*wide),
            LaunchOp::Linear(linear) => linear.source(),
            LaunchOp::RopeAppend(attention) => attention.rope_append(),
            LaunchOp::Attention(attention) => return vec![attention.decode(), attention.prefill()],
            LaunchOp::SiluMul(rows) => rows.silu_mul(),
            LaunchOp::Concat(concat) => concat.source(),
            LaunchOp::Gather(rows) => rows.gather(),
            LaunchOp::Sample(vocab) => sample::cuda::source(*vocab).expect("seen to exist"),
        };
        vec![source.named(self.name)]
    }
}

impl PlanConstants<'_> {
    /// What the registry is asked for an operation over so many tokens, whose attention reads `context` positions.
    pub fn shape(&self, op: &Op, tokens: u64, context: u64) -> OpShape {
        let activations = self.program.activations();
        let width = |id: BufferId| self.program.buffers[id.0 as usize].width;
        let shape = match *op {
            Op::Embed { weight, .. } | Op::Linear { weight, .. } => {
                let Matrix { rows, cols, format, .. } = (self.matrix)(weight);
                OpShape::with_weight(rows, cols, format, activations)
            }
            Op::RopeAppend { qkv, .. } => OpShape::over_cache(width(qkv), self.kv.format, activations),
            Op::PagedAttention { out, .. } => OpShape::over_cache(width(out), self.kv.format, activations),
            Op::RmsNorm { out, .. }
            | Op::AddRmsNorm { out, .. }
            | Op::Add { out, .. }
            | Op::SiluMul { out, .. }
            | Op::Concat { out, .. }
            | Op::Gather { out, .. } => OpShape::over_rows(width(out), activations),
        };
        shape.at(tokens, context)
    }

    /// What a row's kernel is for an operation.
    fn launch_op(&self, kernel: CudaKernel, op: &Op) -> Option<LaunchOp> {
        use {CudaKernel as K, LaunchOp as L};
        let out = self.buffer(op.writes()[0]);
        let activation = self.activation(op)?;
        let rows = ElementwiseRows { cols: out.1, activation };
        Some(match (kernel, op) {
            (K::Embed, Op::Embed { weight, .. }) => {
                let table = (self.matrix)(*weight);
                embed::cuda::source(table.format, table.layout, table.cols as u32)?;
                L::Embed { table, scale: self.model.embedding_scale as f32 }
            }
            (K::RmsNorm, Op::RmsNorm { x, weight, .. }) => {
                let (cols, narrow) = ((self.matrix)(*weight).cols, self.buffer(*x).0 != ElementType::F32);
                L::RmsNorm(Norm { cols: u32::try_from(cols).ok()?, activation, narrow })
            }
            (K::AddRmsNorm, Op::AddRmsNorm { .. }) => {
                L::AddRmsNorm(Norm { cols: out.1, activation, narrow: false })
            }
            (K::Add, Op::Add { a, b, .. }) => {
                L::Add { rows, wide: [a, b].iter().all(|id| self.buffer(**id).0 == ElementType::F32) }
            }
            // Steps have no buffers for the scales of tokens.
            (K::Linear(LinearKind::WgmmaFp8, _), _) => return None,
            (K::Linear(kind, tokens), Op::Linear { weight, bias, .. }) => {
                let matrix = (self.matrix)(*weight);
                let shape = (u32::try_from(matrix.rows).ok()?, u32::try_from(matrix.cols).ok()?);
                let linear = Linear::new(kind, matrix.format, shape, tokens)?.with(activation)?;
                L::Linear(Linear { bias: bias.is_some(), f32_out: out.0 == ElementType::F32, ..linear })
            }
            (K::RopeAppend, Op::RopeAppend { layer, .. }) => {
                L::RopeAppend(self.attention(*layer, activation)?)
            }
            (K::Attention, Op::PagedAttention { layer, .. }) => {
                L::Attention(self.attention(*layer, activation)?)
            }
            (K::SiluMul, Op::SiluMul { .. }) => L::SiluMul(rows),
            (K::Concat, Op::Concat { parts, .. }) => {
                let widths: Vec<u32> = parts.iter().map(|part| self.buffer(*part).1).collect();
                L::Concat(Concat::new(&widths)?)
            }
            (K::Gather, Op::Gather { .. }) => L::Gather(rows),
            _ => return None,
        })
    }

    /// Element type and width of a buffer.
    fn buffer(&self, id: BufferId) -> (ElementType, u32) {
        let buffer = &self.program.buffers[id.0 as usize];
        (buffer.dtype, buffer.width as u32)
    }

    /// What the activations of an operation are stored as; `None` where kernels of GPUs do not take them.
    fn activation(&self, op: &Op) -> Option<Activation> {
        let of = |id: BufferId| Activation::from_element(self.buffer(id).0);
        match *op {
            // Only f32 goes in and out.
            Op::Embed { .. } | Op::Gather { .. } => Some(Activation::F16),
            Op::Add { a, b, .. } => Some(of(a).or(of(b)).unwrap_or_default()),
            Op::RmsNorm { out, .. } | Op::AddRmsNorm { out, .. } => of(out),
            _ => op.reads().first().and_then(|&id| of(id)),
        }
    }

    fn attention(&self, layer: u64, activation: Activation) -> Option<Attention> {
        let (model, kv) = (self.model, self.kv);
        // The kernels take the layers' own scales as arguments.
        let geometry = KvGeometry { scales: [1.0; 2], ..KvGeometry::for_layer(model, kv, 0) };
        let window = model.window(layer).map(|window| window as usize);
        let attention = Attention::new(model.heads as usize, geometry, window)?.with(activation);
        attention.turning(2 * model.inv_frequencies(layer).len())
    }
}
