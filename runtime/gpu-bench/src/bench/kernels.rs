//! What is measured of single kernels, one unit after another: cheap and telling ones first.

use samp_abi::Format;
use samp_kernels::target::Target;
use samp_runtime::device::gpu::Driver;

use super::{
    attention::Workload,
    kv_format::KvFormat,
    linear::{Candidate, LinearNames, LinearProblem, Operands},
    report::{Ceilings, Report},
    row_kernels::{self, RowKernel},
};
use crate::{
    error::GpuError,
    gpu::Gpu,
    kernel_set,
    memory::FillKernel,
    model_shape::{BenchModel, Projection},
};

/// Bytes of the copy that memory is rated by.
const COPY_BYTES: u64 = 2 << 30;
const EMULATED_COPY_BYTES: u64 = 1 << 20;

/// The sizes that kernels are measured at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSweep {
    /// Models whose shapes are taken.
    pub models: Vec<BenchModel>,
    /// Formats of decoder linears.
    pub formats: Vec<Format>,
    /// Tokens of linears.
    pub tokens: Vec<u32>,
    /// Sequences of attention.
    pub batches: Vec<u32>,
    /// Cached positions of each.
    pub contexts: Vec<u32>,
    /// Tokens of whole prompts.
    pub prompts: Vec<u32>,
}

/// One measurement, or several of one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A copy of memory.
    Copy,
    /// A kernel that goes over rows, one for each token.
    Rows(BenchModel, RowKernel, u32),
    /// Attention of one token of each sequence.
    Decode(BenchModel, KvFormat, Workload),
    /// Attention of a whole prompt.
    Prompt(BenchModel, KvFormat, u32),
    /// A candidate for a linear.
    Linear(LinearUnit),
}

/// A candidate for a linear of a model, for so many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearUnit {
    /// The model.
    pub model: BenchModel,
    /// Which of its linears.
    pub projection: Projection,
    /// What is computed.
    pub problem: LinearProblem,
    /// For how many tokens.
    pub tokens: u32,
    /// By which kernel.
    pub candidate: Candidate,
}

impl KernelSweep {
    /// The units of a target, always in the same order.
    pub fn units(&self, target: &Target) -> Result<Vec<Unit>, GpuError> {
        let mut all = vec![Unit::Copy];
        for &model in &self.models {
            let each = |kernel| row_kernels::TOKENS.map(|tokens| Unit::Rows(model, kernel, tokens));
            all.extend(RowKernel::ALL.into_iter().flat_map(each));
            for kv in [KvFormat::F16, KvFormat::Fp8] {
                all.extend(self.prompts.iter().map(|&tokens| Unit::Prompt(model, kv, tokens)));
                for &batch in &self.batches {
                    let load = |&context: &u32| Unit::Decode(model, kv, Workload { batch, context });
                    all.extend(self.contexts.iter().map(load));
                }
            }
        }
        for &model in &self.models {
            for (projection, problem) in kernel_set::linear_problems(model, &self.formats, target) {
                for &tokens in &self.tokens {
                    let candidates = problem.candidates(target, tokens);
                    // Activations of fp8 are multiplied many tokens at a time, on Hopper.
                    if candidates.is_empty() && !problem.has_fp8_activations() {
                        return Err(problem.without_kernel(tokens));
                    }
                    let unit = |candidate| LinearUnit { model, projection, problem, tokens, candidate };
                    all.extend(candidates.into_iter().map(unit).map(Unit::Linear));
                }
            }
        }
        Ok(all)
    }
}

impl Unit {
    /// What it is, for people.
    pub fn name(&self) -> String {
        let of = |model: BenchModel| model.shape().name;
        match *self {
            Unit::Copy => "copy".into(),
            Unit::Rows(model, kernel, tokens) => {
                format!("{} {} at {tokens}", of(model), kernel.kernel())
            }
            Unit::Decode(model, kv, Workload { batch, context }) => {
                format!("{} decode attention, {} cache, {batch} of {context}", of(model), kv.name())
            }
            Unit::Prompt(model, kv, tokens) => {
                format!("{} prefill attention, {} cache, {tokens}", of(model), kv.name())
            }
            Unit::Linear(LinearUnit { model, projection, problem, tokens, candidate }) => {
                let (model, format) = (of(model), problem.format);
                format!("{model} {} {format} at {tokens}: {}", projection.name(), candidate.name)
            }
        }
    }
}

/// Measures units into a report.
pub struct Bench<'a, D: Driver> {
    gpu: &'a Gpu<'a, D>,
    fill: FillKernel<'a, D>,
    tokens: Vec<u32>,
    /// Of the linear measured last, for its other candidates and numbers of tokens.
    operands: Option<(LinearProblem, Operands<D::Memory>)>,
}

impl<'a, D: Driver> Bench<'a, D> {
    /// Of linears over so many tokens.
    pub fn new(gpu: &'a Gpu<'a, D>, tokens: Vec<u32>) -> Result<Bench<'a, D>, GpuError> {
        Ok(Bench { gpu, fill: gpu.fill_kernel()?, tokens, operands: None })
    }

    /// Measures a unit, adds it to the report, and says what matters most, for people.
    pub fn measure(&mut self, unit: &Unit, report: &mut Report) -> Result<String, GpuError> {
        let (gpu, fill) = (self.gpu, &self.fill);
        match *unit {
            Unit::Copy => {
                let bytes = if gpu.is_emulated() { EMULATED_COPY_BYTES } else { COPY_BYTES };
                report.ceilings = Ceilings { copy_gbs: gpu.copy_gbs(bytes)?, ..Ceilings::default() };
                Ok(format!(": {:.0} GB/s", report.ceilings.copy_gbs))
            }
            Unit::Rows(model, kernel, tokens) => {
                let row = gpu.measure_row_kernel(fill, &model.shape(), kernel, tokens)?;
                let said = format!(": {:.1} us, {:.0} GB/s", row.timing.microseconds, row.gbs);
                report.passes.push(row);
                Ok(said)
            }
            Unit::Decode(model, kv, load) => {
                let rows = gpu.measure_decode_attention(fill, &model.shape(), kv, load)?;
                let own = rows.iter().find(|row| row.own).expect("the runtime's number of splits is tried");
                let said = format!(": {:.1} us, {:.0} GB/s", own.timing.microseconds, own.gbs);
                report.attention.extend(rows);
                Ok(said)
            }
            Unit::Prompt(model, kv, tokens) => {
                let row = gpu.measure_prompt(fill, &model.shape(), kv, tokens)?;
                let said = format!(": {:.1} us, {:.0} TFLOPS", row.timing.microseconds, row.tflops);
                report.attention.push(row);
                Ok(said)
            }
            Unit::Linear(unit) => self.linear(&unit, report),
        }
    }

    fn linear(&mut self, unit: &LinearUnit, report: &mut Report) -> Result<String, GpuError> {
        let LinearUnit { model, projection, problem, tokens, candidate } = *unit;
        let gpu = self.gpu;
        let operands = match self.operands.take().filter(|(of, _)| *of == problem) {
            Some((_, operands)) => operands,
            None => gpu.operands(&self.fill, &problem, &self.tokens)?,
        };
        let operands = &self.operands.insert((problem, operands)).1;
        let others = gpu.other_blocks(&candidate.linear);
        let measured = gpu.measure_linear(&problem, operands, candidate, tokens, &others)?;
        let names = LinearNames { model: model.shape().name, projection: projection.name() };
        let rows: Vec<_> = measured.iter().map(|m| m.row(names, &problem, tokens, gpu.target)).collect();
        let own = &rows[0];
        let time = own.timing.microseconds;
        let said = format!(", {time:.1} us, {:.0} GB/s, {:.0} TFLOPS", own.gbs, own.tflops);
        report.add_linear(rows);
        Ok(said)
    }
}
