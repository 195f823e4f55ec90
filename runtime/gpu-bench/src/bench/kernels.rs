//! What is measured of single kernels, one unit after another: cheap and telling ones first.

use samp_abi::Format;
use samp_kernels::target::Target;
use samp_runtime::device::gpu::Driver;

use super::{
    attention::{Kv, Load},
    linear::{Candidate, Operands, Task},
    passes::{self, Pass},
    report::{Ceilings, Report},
};
use crate::{
    Gpu, GpuError, kernel_set,
    memory::Filler,
    shapes::{Projection, Shape},
};

/// Bytes of the copy that memory is rated by.
const COPY_BYTES: u64 = 2 << 30;
const EMULATED_COPY_BYTES: u64 = 1 << 20;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Models.
    pub shapes: Vec<Shape>,
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
    /// A kernel that passes over rows.
    Pass(Shape, Pass, u32),
    /// Attention of one token of each sequence.
    Decode(Shape, Kv, Load),
    /// Attention of a whole prompt.
    Prompt(Shape, Kv, u32),
    /// A candidate for a linear.
    Linear(Shape, Projection, Task, u32, Candidate),
}

impl Wanted {
    /// The units of a target, always in the same order.
    pub fn units(&self, target: &Target) -> Result<Vec<Unit>, GpuError> {
        let mut all = vec![Unit::Copy];
        for &shape in &self.shapes {
            let each = |pass| passes::TOKENS.map(|tokens| Unit::Pass(shape, pass, tokens));
            all.extend(Pass::ALL.into_iter().flat_map(each));
            for kv in [Kv::F16, Kv::Fp8] {
                all.extend(self.prompts.iter().map(|&tokens| Unit::Prompt(shape, kv, tokens)));
                for &batch in &self.batches {
                    let load = |&context: &u32| Unit::Decode(shape, kv, Load { batch, context });
                    all.extend(self.contexts.iter().map(load));
                }
            }
        }
        for &shape in &self.shapes {
            for (projection, task) in kernel_set::tasks(shape, &self.formats, target) {
                for &tokens in &self.tokens {
                    let candidates = task.candidates(target, tokens);
                    // Activations of fp8 are multiplied many tokens at a time, on Hopper.
                    if candidates.is_empty() && !task.has_fp8_activations() {
                        return Err(task.without_kernel(tokens));
                    }
                    let unit = |candidate| Unit::Linear(shape, projection, task, tokens, candidate);
                    all.extend(candidates.into_iter().map(unit));
                }
            }
        }
        Ok(all)
    }
}

impl Unit {
    /// What it is, for people.
    pub fn name(&self) -> String {
        let of = |shape: Shape| shape.sizes().name;
        match *self {
            Unit::Copy => "copy".into(),
            Unit::Pass(shape, pass, tokens) => {
                format!("{} {} at {tokens}", of(shape), pass.kernel())
            }
            Unit::Decode(shape, kv, Load { batch, context }) => {
                format!("{} decode attention, {} cache, {batch} of {context}", of(shape), kv.name())
            }
            Unit::Prompt(shape, kv, tokens) => {
                format!("{} prefill attention, {} cache, {tokens}", of(shape), kv.name())
            }
            Unit::Linear(shape, projection, task, tokens, candidate) => {
                let (model, format) = (of(shape), task.format);
                format!("{model} {} {format} at {tokens}: {}", projection.name(), candidate.name)
            }
        }
    }
}

/// Measures units into a report.
pub struct Bench<'a, D: Driver> {
    gpu: &'a Gpu<'a, D>,
    filler: Filler<D::Kernel>,
    tokens: Vec<u32>,
    /// Of the linear measured last, for its other candidates and numbers of tokens.
    operands: Option<(Task, Operands<D::Memory>)>,
}

impl<'a, D: Driver> Bench<'a, D> {
    /// Of linears over so many tokens.
    pub fn new(gpu: &'a Gpu<'a, D>, tokens: Vec<u32>) -> Result<Bench<'a, D>, GpuError> {
        Ok(Bench { gpu, filler: gpu.filler()?, tokens, operands: None })
    }

    /// Measures a unit, adds it to the report, and says what matters most, for people.
    pub fn measure(&mut self, unit: &Unit, report: &mut Report) -> Result<String, GpuError> {
        let (gpu, filler) = (self.gpu, &self.filler);
        match *unit {
            Unit::Copy => {
                let bytes = if gpu.is_emulated() { EMULATED_COPY_BYTES } else { COPY_BYTES };
                report.ceilings = Ceilings { copy_gbs: gpu.copy_gbs(bytes)?, ..Ceilings::default() };
                Ok(format!(": {:.0} GB/s", report.ceilings.copy_gbs))
            }
            Unit::Pass(shape, pass, tokens) => {
                let row = gpu.measure_pass(filler, &shape.sizes(), (pass, tokens))?;
                let said = format!(": {:.1} us, {:.0} GB/s", row.timing.microseconds, row.gbs);
                report.passes.push(row);
                Ok(said)
            }
            Unit::Decode(shape, kv, load) => {
                let rows = gpu.measure_attention(filler, &shape.sizes(), kv, load)?;
                let own = rows.iter().find(|row| row.own).expect("the runtime's number of splits is tried");
                let said = format!(": {:.1} us, {:.0} GB/s", own.timing.microseconds, own.gbs);
                report.attention.extend(rows);
                Ok(said)
            }
            Unit::Prompt(shape, kv, tokens) => {
                let row = gpu.measure_prompt(filler, &shape.sizes(), kv, tokens)?;
                let said = format!(": {:.1} us, {:.0} TFLOPS", row.timing.microseconds, row.tflops);
                report.attention.push(row);
                Ok(said)
            }
            Unit::Linear(shape, projection, task, tokens, candidate) => {
                let names = (shape.sizes().name, projection.name());
                self.linear(names, &task, (candidate, tokens), report)
            }
        }
    }

    fn linear(
        &mut self,
        names: (&str, &str),
        task: &Task,
        (candidate, tokens): (Candidate, u32),
        report: &mut Report,
    ) -> Result<String, GpuError> {
        let gpu = self.gpu;
        let operands = match self.operands.take().filter(|(of, _)| of == task) {
            Some((_, operands)) => operands,
            None => gpu.operands(&self.filler, task, &self.tokens)?,
        };
        let operands = &self.operands.insert((*task, operands)).1;
        let others = gpu.other_blocks(&candidate.linear);
        let measured = gpu.measure_linear(task, operands, (candidate, tokens), &others)?;
        let rows: Vec<_> = measured.iter().map(|m| m.row(names, task, tokens, gpu.target)).collect();
        let own = &rows[0];
        let time = own.timing.microseconds;
        let said = format!(", {time:.1} us, {:.0} GB/s, {:.0} TFLOPS", own.gbs, own.tflops);
        report.add_linear(rows);
        Ok(said)
    }
}
