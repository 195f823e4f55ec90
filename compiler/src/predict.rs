//! How long each step of a plan takes by the cost model of its kernels, whether it is made yet or not.

use samp_abi::{
    Format, TargetName,
    plan::{KvCache, Limits, Op, Plan, Program, Step, TensorId},
};
use samp_kernels::{
    cost::Nanos,
    registry::{self, Shape},
    target::Target,
};
use samp_passes::Selection;

use crate::{emit::PlanSpec, pipeline::typical_context};

/// A plan as far as prediction looks at it.
#[derive(Clone, Copy)]
pub struct Predicted<'a> {
    target: TargetName,
    program: &'a Program,
    kv: &'a KvCache,
    limits: &'a Limits,
    /// Rows, columns and format of a tensor.
    matrix: &'a dyn Fn(TensorId) -> (u64, u64, Format),
}

/// The predicted time of a plan's step over so many tokens, by the kernel that the plan runs it with; `None` where this build
/// does not know the kernel.
pub fn step_time(plan: &Plan, step: &Step, tokens: u64) -> Option<Nanos> {
    of_plan(plan, &|predicted| predicted.step_time(step, tokens))
}

/// The predicted time of a plan's whole program over so many tokens.
pub fn program_time(plan: &Plan, tokens: u64) -> Option<Nanos> {
    of_plan(plan, &|predicted| predicted.program_time(tokens))
}

/// The same of a plan that is not made yet.
pub fn spec_time(spec: &PlanSpec, tokens: u64) -> Option<Nanos> {
    let matrix = |id: TensorId| {
        let tensor = &spec.tensors[id.0 as usize];
        (tensor.rows, tensor.cols, tensor.format)
    };
    let PlanSpec { target, program, kv, limits, .. } = spec;
    Predicted { target: *target, program, kv, limits, matrix: &matrix }.program_time(tokens)
}

/// What the plan's kernels were chosen by.
pub fn selection(plan: &Plan) -> Selection {
    Selection {
        target: plan.target,
        buckets: plan.program.buckets.clone(),
        kv: plan.kv.format,
        context: typical_context(&plan.limits),
    }
}

/// Numbers of sequences that a plan decodes at once: its token buckets up to the most it keeps alive.
pub fn decode_batches(program: &Program, limits: &Limits) -> Vec<u64> {
    let most = limits.max_sequences.min(limits.max_tokens);
    let below = program.buckets.iter().copied().filter(|&bucket| bucket < most);
    below.chain([most]).collect()
}

/// What the target is, for people.
pub fn target_description(target: TargetName) -> &'static str {
    Target::of(target).description
}

fn of_plan(plan: &Plan, time: &dyn Fn(Predicted<'_>) -> Option<Nanos>) -> Option<Nanos> {
    let matrix = |id: TensorId| {
        let tensor = &plan.tensors[id.0 as usize];
        (tensor.rows, tensor.cols, tensor.format)
    };
    let Plan { target, program, kv, limits, .. } = plan;
    time(Predicted { target: *target, program, kv, limits, matrix: &matrix })
}

impl Predicted<'_> {
    fn step_time(&self, step: &Step, tokens: u64) -> Option<Nanos> {
        let choice = step.kernels.iter().find(|choice| choice.max_tokens >= tokens)?;
        let kernel = registry::find(&choice.kernel)?;
        Some(kernel.time(&self.shape(&step.op, tokens), Target::of(self.target)))
    }

    fn program_time(&self, tokens: u64) -> Option<Nanos> {
        let times = self.program.steps.iter().map(|step| Some(self.step_time(step, tokens)?.0));
        Some(Nanos(times.sum::<Option<f64>>()? + self.sampling_time(tokens)?.0))
    }

    /// Of one token for each of the step's, as in decoding.
    fn sampling_time(&self, tokens: u64) -> Option<Nanos> {
        let vocab = self.program.buffers[self.program.logits.0 as usize].width;
        let sampler = registry::find(&self.program.sampler)?;
        Some(sampler.time(&Shape::sample(tokens, vocab), Target::of(self.target)))
    }

    fn shape(&self, op: &Op, tokens: u64) -> Shape {
        let width = |buffers: Vec<samp_abi::plan::BufferId>| {
            buffers.first().map_or(0, |id| self.program.buffers[id.0 as usize].width)
        };
        let (rows, cols, format) = match op {
            Op::Linear { weight, .. } | Op::Embed { weight, .. } => {
                let (rows, cols, format) = (self.matrix)(*weight);
                (rows, cols, Some(format))
            }
            Op::RopeAppend { .. } | Op::PagedAttention { .. } => (width(op.reads()), 0, Some(self.kv.format)),
            _ => (width(op.writes()), 0, None),
        };
        let activations = self.program.activations();
        Shape { tokens, rows, cols, format, activations, context: typical_context(self.limits) }
    }
}
