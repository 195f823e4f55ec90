//! Linears over the shapes of models.

use samp_abi::{ElementType, Format, Layout, plan::OpKind};
use samp_kernels::{
    cuda::Source,
    kernel::{CudaKernel, LinearKind, OpShape},
    linear::cuda::Linear,
    registry,
    target::Target,
    timing,
};
use samp_runtime::device::gpu::{Arg, Driver};

use super::report::LinearRow;
use crate::{
    error::GpuError,
    gpu::{Gpu, Ready},
    memory::{FillKernel, GpuBuffer, WeightCopies},
    model_shape::MatrixShape,
    pattern::Pattern,
    timing::Timing,
};

/// A linear of a model, for any number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearProblem {
    /// Format of the weight.
    pub format: Format,
    /// What activations are stored as; bytes are fp8 with a scale for each token.
    pub activations: ElementType,
    /// Sizes of the weight.
    pub matrix: MatrixShape,
    /// Whether results are f32.
    pub f32_out: bool,
}

/// A kernel that can compute a linear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name in the registry.
    pub name: &'static str,
    /// How its source is instantiated for the linear.
    pub linear: Linear,
}

impl Candidate {
    /// Its source, called as its row is.
    pub fn source(&self) -> Source {
        self.linear.source().named(self.name)
    }
}

impl LinearProblem {
    /// Of so many tokens, as the registry knows it.
    pub fn shape(&self, tokens: u32) -> OpShape {
        let LinearProblem { format, activations, matrix: MatrixShape { rows, cols }, .. } = *self;
        OpShape::with_weight(rows.into(), cols.into(), format, activations).at(tokens.into(), 0)
    }

    /// The kernels worth trying: of each kind the one that takes all tokens at a time with the fewest to spare, or else
    /// the one that takes most.
    pub fn candidates(&self, target: &Target, tokens: u32) -> Vec<Candidate> {
        let MatrixShape { rows, cols } = self.matrix;
        let mut best: Vec<(LinearKind, Candidate)> = vec![];
        for row in registry::candidates(target, OpKind::Linear, self.shape(tokens)) {
            let Some(CudaKernel::Linear(kind, tile)) = row.cuda else { continue };
            let Some(linear) = Linear::new(kind, self.format, (rows, cols), tile) else { continue };
            // Half of the smallest tile of Hopper's units would be missing.
            if kind.is_wgmma() && tokens <= 8 {
                continue;
            }
            let candidate = Candidate { name: row.name, linear: Linear { f32_out: self.f32_out, ..linear } };
            let missing = |candidate: &Candidate| tokens.abs_diff(candidate.linear.tokens);
            let better = |old: &Candidate| match (old.linear.tokens >= tokens, tile >= tokens) {
                (true, false) => false,
                (false, true) => true,
                _ => missing(&candidate) < missing(old),
            };
            match best.iter_mut().find(|(other, _)| *other == kind) {
                Some((_, old)) if better(old) => *old = candidate,
                Some(_) => {}
                None => best.push((kind, candidate)),
            }
        }
        best.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// Whether activations are fp8.
    pub fn has_fp8_activations(&self) -> bool {
        self.activations == ElementType::U8
    }

    /// That nothing computes it.
    pub fn without_kernel(&self, tokens: u32) -> GpuError {
        let LinearProblem { format, matrix: MatrixShape { rows, cols }, .. } = self;
        GpuError::Kernel { what: format!("{format} {rows}x{cols} at {tokens} tokens") }
    }

    /// Bytes of the weight.
    pub fn weight_bytes(&self) -> u64 {
        Layout::MmaFragments.bytes(self.format, self.matrix.rows.into(), self.matrix.cols.into())
    }

    /// Bytes of so many tokens' activations.
    fn x_bytes(&self, tokens: u32) -> u64 {
        u64::from(tokens) * u64::from(self.matrix.cols) * self.activations.bytes()
    }
}

/// Operands of a linear, weights several times over.
pub struct Operands<M> {
    /// The weights, which launches take in turn.
    pub weight: WeightCopies<M>,
    x: GpuBuffer<M>,
    /// Of tokens in fp8.
    scales: Option<GpuBuffer<M>>,
    out: GpuBuffer<M>,
    sums: GpuBuffer<M>,
    counters: GpuBuffer<M>,
}

/// A candidate on so many blocks, measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The kernel that was launched.
    pub candidate: Candidate,
    /// Blocks along x.
    pub blocks: u32,
    /// Whether the runtime takes so many.
    pub own: bool,
    /// Time of one launch.
    pub timing: Timing,
}

/// Bytes of partial sums and counters.
#[derive(Clone, Copy)]
struct WorkspaceBytes {
    sums: u64,
    counters: u64,
}

impl WorkspaceBytes {
    fn max(self, other: WorkspaceBytes) -> WorkspaceBytes {
        WorkspaceBytes { sums: self.sums.max(other.sums), counters: self.counters.max(other.counters) }
    }
}

/// What every candidate makes do with.
fn workspace(candidates: &[Candidate], target: &Target, tokens: u32) -> WorkspaceBytes {
    let need = |candidate: &Candidate| {
        let most = target.units * BLOCKS_PER_UNIT[BLOCKS_PER_UNIT.len() - 1];
        let (sums, counters) = candidate.linear.workspace(most, candidate.linear.token_tiles(tokens));
        WorkspaceBytes { sums: 4 * sums, counters: 4 * counters }
    };
    candidates.iter().map(need).fold(WorkspaceBytes { sums: 4, counters: 4 }, WorkspaceBytes::max)
}

/// Blocks for each multiprocessor that are tried, beside what the runtime takes.
const BLOCKS_PER_UNIT: [u32; 3] = [1, 2, 4];

impl<D: Driver> Gpu<'_, D> {
    /// Operands for so many tokens at most.
    pub fn operands(
        &self,
        fill: &FillKernel<'_, D>,
        problem: &LinearProblem,
        tokens: &[u32],
    ) -> Result<Operands<D::Memory>, GpuError> {
        let copies = self.cold_copies(problem.weight_bytes());
        let weight = fill.weight_copies(problem.format, Layout::MmaFragments, problem.matrix, copies)?;
        let most = tokens.iter().copied().max().unwrap_or(1);
        let fp8 = problem.has_fp8_activations();
        let pattern = match problem.activations {
            ElementType::U8 => Pattern::FP8,
            ElementType::Bf16 => Pattern::BF16,
            _ => Pattern::HALVES,
        };
        let x = fill.buffer("activations", problem.x_bytes(most), pattern)?;
        let scales = || fill.buffer("scales of activations", u64::from(most) * 4, Pattern::SCALES);
        let scales = fp8.then(scales).transpose()?;
        let out_bytes =
            u64::from(most) * u64::from(problem.matrix.rows) * if problem.f32_out { 4 } else { 2 };
        let out = self.zeros("results", out_bytes)?;
        let needs = tokens
            .iter()
            .map(|&tokens| workspace(&problem.candidates(self.target, tokens), self.target, tokens));
        let bytes = needs.fold(WorkspaceBytes { sums: 4, counters: 4 }, WorkspaceBytes::max);
        let sums = self.zeros("partial sums", bytes.sums)?;
        let counters = self.zeros("counters", bytes.counters)?;
        Ok(Operands { weight, x, scales, out, sums, counters })
    }

    /// Measures a candidate on as many blocks as the runtime takes, and on `others`.
    pub fn measure_linear(
        &self,
        problem: &LinearProblem,
        operands: &Operands<D::Memory>,
        candidate: Candidate,
        tokens: u32,
        others: &[u32],
    ) -> Result<Vec<Measured>, GpuError> {
        let own = candidate.linear.grid(tokens, self.target).blocks[0];
        let mut all = vec![];
        for blocks in [own].into_iter().chain(others.iter().copied().filter(|blocks| *blocks != own)) {
            let ready = self.ready_linear(&candidate, tokens, blocks)?;
            let timing = self.time_linear(&ready, problem, &candidate.linear, operands, tokens)?;
            all.push(Measured { candidate, blocks, own: blocks == own, timing });
        }
        Ok(all)
    }

    /// Numbers of blocks that are tried beside what the runtime takes.
    pub fn other_blocks(&self, linear: &Linear) -> Vec<u32> {
        let mut all = BLOCKS_PER_UNIT.map(|each| (self.target.units * each).min(linear.parts())).to_vec();
        all.dedup();
        all
    }

    /// A kernel for so many tokens on so many blocks along x.
    pub fn ready_linear(
        &self,
        candidate: &Candidate,
        tokens: u32,
        blocks: u32,
    ) -> Result<Ready<D::Kernel>, GpuError> {
        let mut grid = candidate.linear.grid(tokens, self.target);
        grid.blocks[0] = blocks;
        self.ready(&candidate.source(), grid)
    }

    fn time_linear(
        &self,
        ready: &Ready<D::Kernel>,
        problem: &LinearProblem,
        linear: &Linear,
        operands: &Operands<D::Memory>,
        tokens: u32,
    ) -> Result<Timing, GpuError> {
        let flops = 2.0 * f64::from(linear.rows) * f64::from(linear.cols) * f64::from(tokens);
        let launches = self.launches(operands.weight.bytes, flops, operands.weight.copies);
        // In the order of `samp_kernels::linear::cuda`.
        let timing = self.measure(launches, &mut |launch| {
            let mut args = vec![operands.x.range(0, problem.x_bytes(tokens))];
            args.extend(operands.scales.iter().map(GpuBuffer::arg));
            args.extend(operands.weight.args(launch));
            args.extend([Arg::Null, operands.out.arg(), Arg::I32(tokens as i32)]);
            if linear.kind != LinearKind::Gemv {
                args.extend([operands.sums.arg(), operands.counters.arg()]);
            }
            self.launch(ready, &args)
        })?;
        Ok(timing)
    }
}

/// Which linear of which model was measured.
#[derive(Clone, Copy, Debug)]
pub struct LinearNames<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// Name of the projection.
    pub projection: &'a str,
}

impl Measured {
    /// As it is reported: of a model's linear, for so many tokens.
    pub fn row(
        &self,
        names: LinearNames<'_>,
        problem: &LinearProblem,
        tokens: u32,
        target: &Target,
    ) -> LinearRow {
        let LinearProblem { format, activations, matrix: MatrixShape { rows, cols }, f32_out } = *problem;
        let weights = problem.weight_bytes();
        let results = u64::from(tokens) * u64::from(rows) * if f32_out { 4 } else { 2 };
        let values = problem.x_bytes(tokens) + results;
        let seconds = self.timing.microseconds / 1e6;
        let flops = 2.0 * f64::from(rows) * f64::from(cols) * f64::from(tokens);
        let chosen = timing::cheapest(target, OpKind::Linear, problem.shape(tokens));
        LinearRow {
            model: names.model.into(),
            projection: names.projection.into(),
            format: format.to_string(),
            activations,
            rows,
            cols,
            tokens,
            kernel: self.candidate.name.into(),
            blocks: self.blocks,
            timing: self.timing,
            gbs: (weights + values) as f64 / seconds / 1e9,
            tflops: flops / seconds / 1e12,
            best: false,
            own: self.own,
            chosen: chosen.is_some_and(|kernel| kernel.name == self.candidate.name),
        }
    }
}
