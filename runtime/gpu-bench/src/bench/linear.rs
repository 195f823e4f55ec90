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
    Gpu, GpuError, Ready,
    clock::Timing,
    memory::{Filler, Pattern, Piece, Weight},
};

/// A linear of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Format of the weight.
    pub format: Format,
    /// What activations are stored as; bytes are fp8 with a scale for each token.
    pub activations: ElementType,
    /// Output channels.
    pub rows: u32,
    /// Input channels.
    pub cols: u32,
    /// Whether results are f32.
    pub f32_out: bool,
}

/// A kernel that can compute a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name in the registry.
    pub name: &'static str,
    /// The kernel.
    pub linear: Linear,
}

impl Candidate {
    /// Its source, called as its row is.
    pub fn source(&self) -> Source {
        self.linear.source().named(self.name)
    }
}

impl Task {
    /// Of so many tokens, as the registry knows it.
    pub fn shape(&self, tokens: u32) -> OpShape {
        let Task { format, activations, rows, cols, .. } = *self;
        OpShape {
            tokens: tokens.into(),
            rows: rows.into(),
            cols: cols.into(),
            format: Some(format),
            activations,
            context: 0,
        }
    }

    /// The kernels worth trying: of each kind the one that takes all tokens at a time with the fewest to spare, or else
    /// the one that takes most.
    pub fn candidates(&self, target: &Target, tokens: u32) -> Vec<Candidate> {
        let mut best: Vec<(LinearKind, Candidate)> = vec![];
        for row in registry::candidates(target, OpKind::Linear, self.shape(tokens)) {
            let Some(CudaKernel::Linear(kind, tile)) = row.cuda else { continue };
            let Some(linear) = Linear::new(kind, self.format, (self.rows, self.cols), tile) else { continue };
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
        let Task { format, rows, cols, .. } = self;
        GpuError::Kernel { what: format!("{format} {rows}x{cols} at {tokens} tokens") }
    }

    /// Bytes of the weight.
    pub fn weight_bytes(&self) -> u64 {
        Layout::MmaFragments.bytes(self.format, self.rows.into(), self.cols.into())
    }

    /// Bytes of so many tokens' activations.
    fn x_bytes(&self, tokens: u32) -> u64 {
        u64::from(tokens) * u64::from(self.cols) * self.activations.bytes()
    }
}

/// Operands of a task, weights several times over.
pub struct Operands<M> {
    /// The weights.
    pub weight: Weight<M>,
    x: Piece<M>,
    /// Of tokens in fp8.
    scales: Option<Piece<M>>,
    out: Piece<M>,
    sums: Piece<M>,
    counters: Piece<M>,
}

/// A candidate on so many blocks, measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The kernel.
    pub candidate: Candidate,
    /// Blocks along x.
    pub blocks: u32,
    /// Whether the runtime takes so many.
    pub own: bool,
    /// Its time.
    pub timing: Timing,
}

/// Bytes of partial sums and counters that every candidate makes do with.
fn workspace(candidates: &[Candidate], target: &Target, tokens: u32) -> (u64, u64) {
    let need = |candidate: &Candidate| {
        let most = target.units * BLOCKS_PER_UNIT[BLOCKS_PER_UNIT.len() - 1];
        candidate.linear.workspace(most, candidate.linear.token_tiles(tokens))
    };
    let each: Vec<(u64, u64)> = candidates.iter().map(need).collect();
    let most = |of: fn(&(u64, u64)) -> u64| 4 * each.iter().map(of).max().unwrap_or(0).max(1);
    (most(|need| need.0), most(|need| need.1))
}

/// Blocks for each multiprocessor that are tried, beside what the runtime takes.
const BLOCKS_PER_UNIT: [u32; 3] = [1, 2, 4];

impl<D: Driver> Gpu<'_, D> {
    /// Operands for so many tokens at most.
    pub fn operands(
        &self,
        filler: &Filler<D::Kernel>,
        task: &Task,
        tokens: &[u32],
    ) -> Result<Operands<D::Memory>, GpuError> {
        let (shape, copies) = ((task.rows, task.cols), self.cold_copies(task.weight_bytes()));
        let weight = self.weight(filler, (task.format, Layout::MmaFragments), shape, copies)?;
        let most = tokens.iter().copied().max().unwrap_or(1);
        let fp8 = task.has_fp8_activations();
        let pattern = match task.activations {
            ElementType::U8 => Pattern::FP8,
            ElementType::Bf16 => Pattern::BF16,
            _ => Pattern::HALVES,
        };
        let x = self.filled(filler, ("activations", task.x_bytes(most)), pattern)?;
        let scales = || self.filled(filler, ("scales of activations", u64::from(most) * 4), Pattern::SCALES);
        let scales = fp8.then(scales).transpose()?;
        let out_bytes = u64::from(most) * u64::from(task.rows) * if task.f32_out { 4 } else { 2 };
        let out = self.zeros("results", out_bytes)?;
        let needs = tokens
            .iter()
            .map(|&tokens| workspace(&task.candidates(self.target, tokens), self.target, tokens));
        let (sums, counters) = needs.fold((4, 4), |a, b| (a.0.max(b.0), a.1.max(b.1)));
        let (sums, counters) = (self.zeros("partial sums", sums)?, self.zeros("counters", counters)?);
        Ok(Operands { weight, x, scales, out, sums, counters })
    }

    /// Measures a candidate on as many blocks as the runtime takes, and on `others`.
    pub fn measure_linear(
        &self,
        task: &Task,
        operands: &Operands<D::Memory>,
        (candidate, tokens): (Candidate, u32),
        others: &[u32],
    ) -> Result<Vec<Measured>, GpuError> {
        let own = candidate.linear.grid(tokens, self.target).blocks[0];
        let mut all = vec![];
        for blocks in [own].into_iter().chain(others.iter().copied().filter(|blocks| *blocks != own)) {
            let ready = self.ready_linear(&candidate, tokens, blocks)?;
            let timing = self.time_linear(&ready, (task, &candidate.linear), operands, tokens)?;
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
        (task, linear): (&Task, &Linear),
        operands: &Operands<D::Memory>,
        tokens: u32,
    ) -> Result<Timing, GpuError> {
        let flops = 2.0 * f64::from(linear.rows) * f64::from(linear.cols) * f64::from(tokens);
        let launches = self.launches(operands.weight.bytes, flops, operands.weight.copies);
        // In the order of `samp_kernels::linear::cuda`.
        let timing = self.measure(launches, &mut |launch| {
            let mut args = vec![operands.x.part(0, task.x_bytes(tokens))];
            args.extend(operands.scales.iter().map(Piece::arg));
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

impl Measured {
    /// As it is reported: of a model's linear, for so many tokens.
    pub fn row(
        &self,
        (model, projection): (&str, &str),
        task: &Task,
        tokens: u32,
        target: &Target,
    ) -> LinearRow {
        let Task { format, activations, rows, cols, f32_out } = *task;
        let weights = task.weight_bytes();
        let results = u64::from(tokens) * u64::from(rows) * if f32_out { 4 } else { 2 };
        let values = task.x_bytes(tokens) + results;
        let seconds = self.timing.microseconds / 1e6;
        let flops = 2.0 * f64::from(rows) * f64::from(cols) * f64::from(tokens);
        let chosen = timing::cheapest(target, OpKind::Linear, task.shape(tokens));
        LinearRow {
            model: model.into(),
            projection: projection.into(),
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
