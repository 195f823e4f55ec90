//! Kernels that go over rows between linears and attention. What they read is in the cache, as the kernel before leaves it.

use samp_abi::{Format, Layout};
use samp_kernels::{
    cuda::{Activation, Grid, Source},
    elementwise::cuda::ElementwiseRows,
    embed,
    rms_norm::cuda::Norm,
    sample,
};
use samp_runtime::device::gpu::{Arg, Driver};

use super::{
    attention::{AttentionProblem, Workload},
    kv_format::KvFormat,
    report::RowKernelRow,
};
use crate::{
    error::GpuError,
    gpu::Gpu,
    memory::{FillKernel, GpuBuffer},
    model_shape::ModelShape,
    pattern::Pattern,
};

/// Numbers of rows that are measured.
pub const TOKENS: [u32; 3] = [1, 16, 128];

/// A kernel that computes each row on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are called as their sources")]
pub enum RowKernel {
    Embed,
    RmsNorm,
    AddRmsNorm,
    RopeAppend,
    SiluMul,
    Sample,
}

/// An argument of a launch.
enum Operand<M> {
    Memory(GpuBuffer<M>),
    I32(u32),
    F32(f32),
}

impl<M> Operand<M> {
    fn arg(&self) -> Arg<'_, M> {
        match self {
            Operand::Memory(buffer) => buffer.arg(),
            Operand::I32(value) => Arg::I32(*value as i32),
            Operand::F32(value) => Arg::F32(*value),
        }
    }
}

impl RowKernel {
    /// Every kernel, as a step launches them.
    pub const ALL: [RowKernel; 6] = [
        RowKernel::Embed,
        RowKernel::RmsNorm,
        RowKernel::AddRmsNorm,
        RowKernel::RopeAppend,
        RowKernel::SiluMul,
        RowKernel::Sample,
    ];

    /// Its row of the registry.
    pub fn kernel(self) -> &'static str {
        match self {
            RowKernel::Embed => "embed_cuda",
            RowKernel::RmsNorm => "rms_norm_cuda",
            RowKernel::AddRmsNorm => "add_rms_norm_cuda",
            RowKernel::RopeAppend => "rope_append_cuda",
            RowKernel::SiluMul => "silu_mul_cuda",
            RowKernel::Sample => "sample_cuda",
        }
    }

    /// Its source for a model, called as its row is.
    pub fn source(self, shape: &ModelShape) -> Source {
        let norm = norm(shape);
        let source = match self {
            RowKernel::Embed => embed::cuda::source(Format::F16, Layout::RowMajor, shape.hidden)
                .expect("models have such widths"),
            RowKernel::RmsNorm => norm.rms_norm(),
            RowKernel::AddRmsNorm => norm.add_rms_norm(),
            RowKernel::RopeAppend => rope_problem(shape, 1).kernels().rope_append(),
            RowKernel::SiluMul => activated(shape).silu_mul(),
            RowKernel::Sample => sample::cuda::source(shape.vocab).expect("models have so many tokens"),
        };
        source.named(self.kernel())
    }

    fn grid(self, shape: &ModelShape, tokens: u32) -> Grid {
        match self {
            RowKernel::Embed => embed::cuda::grid(tokens),
            RowKernel::RmsNorm | RowKernel::AddRmsNorm => norm(shape).grid(tokens),
            RowKernel::RopeAppend => rope_problem(shape, tokens).kernels().rope_append_grid(tokens),
            RowKernel::SiluMul => activated(shape).grid(tokens),
            RowKernel::Sample => sample::cuda::grid(tokens),
        }
    }

    /// Bytes of rows, read and written, that a token takes.
    fn bytes(self, shape: &ModelShape) -> u64 {
        let turned = (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
        u64::from(match self {
            RowKernel::Embed | RowKernel::RmsNorm => (2 + 4) * shape.hidden,
            RowKernel::AddRmsNorm => (2 + 4 + 4 + 2) * shape.hidden,
            RowKernel::RopeAppend => (2 + 2) * turned,
            RowKernel::SiluMul => (4 + 2) * shape.intermediate,
            RowKernel::Sample => 4 * shape.vocab,
        })
    }
}

/// Rotation and appending of one token of each of so many sequences.
fn rope_problem(shape: &ModelShape, tokens: u32) -> AttentionProblem {
    let load = Workload { batch: tokens, context: 1 };
    AttentionProblem { shape: *shape, kv: KvFormat::F16, load, tokens: 1 }
}

fn norm(shape: &ModelShape) -> Norm {
    Norm { cols: shape.hidden, activation: Activation::F16, narrow: false }
}

fn activated(shape: &ModelShape) -> ElementwiseRows {
    ElementwiseRows { cols: shape.intermediate, activation: Activation::F16 }
}

impl<D: Driver> Gpu<'_, D> {
    /// Measures one for so many tokens.
    pub fn measure_row_kernel(
        &self,
        fill: &FillKernel<'_, D>,
        shape: &ModelShape,
        kernel: RowKernel,
        tokens: u32,
    ) -> Result<RowKernelRow, GpuError> {
        let source = kernel.source(shape);
        let ready = self.ready(&source, kernel.grid(shape, tokens))?;
        let operands = self.row_operands(fill, shape, kernel, tokens)?;
        let args: Vec<Arg<'_, D::Memory>> = operands.iter().map(Operand::arg).collect();
        let bytes = u64::from(tokens) * kernel.bytes(shape);
        let timing = self.measure(self.launches(bytes, 0.0, 1), &mut |_| self.launch(&ready, &args))?;
        let gbs = bytes as f64 / timing.microseconds / 1e3;
        Ok(RowKernelRow { model: shape.name.into(), kernel: kernel.kernel().into(), tokens, timing, gbs })
    }

    /// In the order of the sources.
    fn row_operands(
        &self,
        fill: &FillKernel<'_, D>,
        shape: &ModelShape,
        kernel: RowKernel,
        tokens: u32,
    ) -> Result<Vec<Operand<D::Memory>>, GpuError> {
        let bytes = |width: u32, each: u32| u64::from(tokens) * u64::from(width * each);
        let filled = |bytes, pattern| fill.buffer("operands", bytes, pattern).map(Operand::Memory);
        let halves = |width| filled(bytes(width, 2), Pattern::HALVES);
        let floats = |width| filled(bytes(width, 4), Pattern::AROUND_ONE);
        let zeros = |width, each| self.zeros("results", bytes(width, each)).map(Operand::Memory);
        let weight = || filled(u64::from(shape.hidden) * 4, Pattern::AROUND_ONE);
        let integers = |values: Vec<i32>| self.integers("indices", &values).map(Operand::Memory);
        let (hidden, count, eps) = (shape.hidden, Operand::I32(tokens), Operand::F32(1e-5));
        Ok(match kernel {
            RowKernel::Embed => {
                let ids = (0..tokens).map(|i| (i * 7919 % shape.vocab) as i32).collect();
                let table = filled(u64::from(shape.vocab) * u64::from(hidden) * 2, Pattern::HALVES)?;
                vec![integers(ids)?, table, zeros(hidden, 4)?, count]
            }
            RowKernel::RmsNorm => vec![floats(hidden)?, weight()?, zeros(hidden, 2)?, count, eps],
            RowKernel::AddRmsNorm => {
                let [x, residual] = [halves(hidden)?, floats(hidden)?];
                vec![x, residual, weight()?, zeros(hidden, 4)?, zeros(hidden, 2)?, count, eps]
            }
            RowKernel::RopeAppend => {
                let AttentionProblem { load, .. } = rope_problem(shape, tokens);
                let pool = u64::from(tokens) * rope_problem(shape, tokens).geometry().page_bytes() as u64;
                let turns = self.zeros("frequencies", u64::from(shape.head_dim) * 4)?;
                let qkv = halves((shape.heads + 2 * shape.kv_heads) * shape.head_dim)?;
                let [positions, sequences] = [vec![0; tokens as usize], (0..tokens as i32).collect()];
                let mut all = vec![qkv, Operand::Memory(turns), Operand::F32(1.0)];
                all.extend([integers(positions)?, integers(sequences)?]);
                all.extend([integers(load.table(1))?, Operand::I32(load.pages())]);
                all.extend([zeros(shape.heads * shape.head_dim, 2)?, filled(pool, Pattern::HALVES)?]);
                all.extend([Operand::F32(1.0), Operand::F32(1.0), count]);
                all
            }
            RowKernel::SiluMul => vec![halves(2 * shape.intermediate)?, zeros(shape.intermediate, 2)?, count],
            RowKernel::Sample => {
                // By top-p, which takes longest: temperature 0.7, no top-k, top-p 0.9, no min-p, as `SamplingParams` has them.
                let params = [0.7f32.to_bits() as i32, 0, 0.9f32.to_bits() as i32, 0];
                let draws = filled(bytes(1, 8), Pattern::CODES)?;
                let results = [zeros(1, 4)?, zeros(1, 4)?];
                let mut all = vec![floats(shape.vocab)?, integers(params.repeat(tokens as usize))?, draws];
                all.extend(results);
                all.push(count);
                all
            }
        })
    }
}
