//! Kernels that pass over rows between linears and attention. What they read is in the cache, as the kernel before leaves it.

use samp_abi::{Format, Layout};
use samp_kernels::{
    cuda::{Activation, Grid, Source},
    elementwise::cuda::Rows,
    embed,
    rms_norm::cuda::Norm,
    sample,
};
use samp_runtime::device::gpu::{Arg, Driver};

use super::{
    attention::{self, Kv, Load},
    report::PassRow,
};
use crate::{
    Gpu, GpuError,
    memory::{Filler, Pattern, Piece},
    shapes::Sizes,
};

/// Numbers of rows that are measured.
pub const TOKENS: [u32; 3] = [1, 16, 128];

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are called as their sources")]
pub enum Pass {
    Embed,
    RmsNorm,
    AddRmsNorm,
    RopeAppend,
    SiluMul,
    Sample,
}

/// An argument of a launch.
enum Operand<M> {
    Memory(Piece<M>),
    I32(u32),
    F32(f32),
}

impl<M> Operand<M> {
    fn arg(&self) -> Arg<'_, M> {
        match self {
            Operand::Memory(piece) => piece.arg(),
            Operand::I32(value) => Arg::I32(*value as i32),
            Operand::F32(value) => Arg::F32(*value),
        }
    }
}

impl Pass {
    /// Every kernel, as a step launches them.
    pub const ALL: [Pass; 6] =
        [Pass::Embed, Pass::RmsNorm, Pass::AddRmsNorm, Pass::RopeAppend, Pass::SiluMul, Pass::Sample];

    /// Its row of the registry.
    pub fn kernel(self) -> &'static str {
        match self {
            Pass::Embed => "embed_cuda",
            Pass::RmsNorm => "rms_norm_cuda",
            Pass::AddRmsNorm => "add_rms_norm_cuda",
            Pass::RopeAppend => "rope_append_cuda",
            Pass::SiluMul => "silu_mul_cuda",
            Pass::Sample => "sample_cuda",
        }
    }

    /// Its source for a model, called as its row is.
    pub fn source(self, sizes: &Sizes) -> Source {
        let norm = norm(sizes);
        let source = match self {
            Pass::Embed => embed::cuda::source(Format::F16, Layout::RowMajor, sizes.hidden)
                .expect("models have such widths"),
            Pass::RmsNorm => norm.rms_norm(),
            Pass::AddRmsNorm => norm.add_rms_norm(),
            Pass::RopeAppend => attention::kernels(sizes, Kv::F16).rope_append(),
            Pass::SiluMul => activated(sizes).silu_mul(),
            Pass::Sample => sample::cuda::source(sizes.vocab).expect("models have so many tokens"),
        };
        source.named(self.kernel())
    }

    fn grid(self, sizes: &Sizes, tokens: u32) -> Grid {
        match self {
            Pass::Embed => embed::cuda::grid(tokens),
            Pass::RmsNorm | Pass::AddRmsNorm => norm(sizes).grid(tokens),
            Pass::RopeAppend => attention::kernels(sizes, Kv::F16).rope_append_grid(tokens),
            Pass::SiluMul => activated(sizes).grid(tokens),
            Pass::Sample => sample::cuda::grid(tokens),
        }
    }

    /// Bytes of rows, read and written, that a token takes.
    fn bytes(self, sizes: &Sizes) -> u64 {
        let turned = (sizes.heads + 2 * sizes.kv_heads) * sizes.head_dim;
        u64::from(match self {
            Pass::Embed | Pass::RmsNorm => (2 + 4) * sizes.hidden,
            Pass::AddRmsNorm => (2 + 4 + 4 + 2) * sizes.hidden,
            Pass::RopeAppend => (2 + 2) * turned,
            Pass::SiluMul => (4 + 2) * sizes.intermediate,
            Pass::Sample => 4 * sizes.vocab,
        })
    }
}

fn norm(sizes: &Sizes) -> Norm {
    Norm { cols: sizes.hidden, activation: Activation::F16 }
}

fn activated(sizes: &Sizes) -> Rows {
    Rows { cols: sizes.intermediate, activation: Activation::F16 }
}

impl<D: Driver> Gpu<'_, D> {
    /// Measures one for so many tokens.
    pub fn measure_pass(
        &self,
        filler: &Filler<D::Kernel>,
        sizes: &Sizes,
        (pass, tokens): (Pass, u32),
    ) -> Result<PassRow, GpuError> {
        let source = pass.source(sizes);
        let ready = self.ready(&source, pass.grid(sizes, tokens))?;
        let operands = self.pass_operands(filler, sizes, (pass, tokens))?;
        let args: Vec<Arg<'_, D::Memory>> = operands.iter().map(Operand::arg).collect();
        let bytes = u64::from(tokens) * pass.bytes(sizes);
        let timing = self.measure(self.launches(bytes, 0.0, 1), &mut |_| self.launch(&ready, &args))?;
        let gbs = bytes as f64 / timing.microseconds / 1e3;
        Ok(PassRow { model: sizes.name.into(), kernel: pass.kernel().into(), tokens, timing, gbs })
    }

    /// In the order of the sources.
    fn pass_operands(
        &self,
        filler: &Filler<D::Kernel>,
        sizes: &Sizes,
        (pass, tokens): (Pass, u32),
    ) -> Result<Vec<Operand<D::Memory>>, GpuError> {
        let bytes = |width: u32, each: u32| u64::from(tokens) * u64::from(width * each);
        let filled = |bytes, pattern| self.filled(filler, ("operands", bytes), pattern).map(Operand::Memory);
        let halves = |width| filled(bytes(width, 2), Pattern::HALVES);
        let floats = |width| filled(bytes(width, 4), Pattern::AROUND_ONE);
        let zeros = |width, each| self.zeros("results", bytes(width, each)).map(Operand::Memory);
        let weight = || filled(u64::from(sizes.hidden) * 4, Pattern::AROUND_ONE);
        let integers = |values: Vec<i32>| self.integers("indices", &values).map(Operand::Memory);
        let (hidden, count, eps) = (sizes.hidden, Operand::I32(tokens), Operand::F32(1e-5));
        Ok(match pass {
            Pass::Embed => {
                let ids = (0..tokens).map(|i| (i * 7919 % sizes.vocab) as i32).collect();
                let table = filled(u64::from(sizes.vocab) * u64::from(hidden) * 2, Pattern::HALVES)?;
                vec![integers(ids)?, table, zeros(hidden, 4)?, count]
            }
            Pass::RmsNorm => vec![floats(hidden)?, weight()?, zeros(hidden, 2)?, count, eps],
            Pass::AddRmsNorm => {
                let [x, residual] = [halves(hidden)?, floats(hidden)?];
                vec![x, residual, weight()?, zeros(hidden, 4)?, zeros(hidden, 2)?, count, eps]
            }
            Pass::RopeAppend => {
                let load = Load { batch: tokens, context: 1 };
                let pool = u64::from(tokens) * attention::geometry(sizes, Kv::F16).page_bytes() as u64;
                let turns = self.zeros("frequencies", u64::from(sizes.head_dim) * 4)?;
                let qkv = halves((sizes.heads + 2 * sizes.kv_heads) * sizes.head_dim)?;
                let [positions, sequences] = [vec![0; tokens as usize], (0..tokens as i32).collect()];
                let mut all = vec![qkv, Operand::Memory(turns), integers(positions)?, integers(sequences)?];
                all.extend([integers(load.table(1))?, Operand::I32(load.pages())]);
                all.extend([zeros(sizes.heads * sizes.head_dim, 2)?, filled(pool, Pattern::HALVES)?]);
                all.extend([Operand::F32(1.0), Operand::F32(1.0), count]);
                all
            }
            Pass::SiluMul => vec![halves(2 * sizes.intermediate)?, zeros(sizes.intermediate, 2)?, count],
            Pass::Sample => {
                // By top-p, which takes longest: temperature 0.7, no top-k, top-p 0.9, no min-p, as `SamplingParams` has them.
                let choice = [0.7f32.to_bits() as i32, 0, 0.9f32.to_bits() as i32, 0];
                let draws = filled(bytes(1, 8), Pattern::CODES)?;
                let results = [zeros(1, 4)?, zeros(1, 4)?];
                let mut all = vec![floats(sizes.vocab)?, integers(choice.repeat(tokens as usize))?, draws];
                all.extend(results);
                all.push(count);
                all
            }
        })
    }
}
