//! How long each step of a plan takes by the cost model of its kernels, whether it is made yet or not.

use samp_abi::{
    TargetName,
    plan::{Limits, Plan, Program, Step},
};
use samp_kernels::{
    cost::Nanos, instantiate::PlanConstants, kernel::OpShape, registry, target::Target,
    timing::predicted_time,
};
use samp_passes::Selection;
use samp_runtime::{device::gpu::RESERVED_BYTES, plan::code};
use schemars::JsonSchema;
use serde::Serialize;

use super::{pipeline::typical_context, size::SizeTable, spec::PlanSpec};

/// A plan as far as prediction looks at it.
#[derive(Clone, Copy)]
struct Predicted<'a> {
    target: TargetName,
    constants: PlanConstants<'a>,
    limits: &'a Limits,
}

/// A token of each of so many sequences, as the cost model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DecodeStep {
    /// Sequences.
    pub sequences: u64,
    /// Time of the step.
    pub milliseconds: f64,
    /// Tokens of all of them per second.
    pub tokens_per_second: f64,
    /// What the device holds for sequences as long as the plan takes them: weights, caches, activations, and on a GPU what the
    /// runtime reserves beside them.
    pub device_bytes: u64,
}

/// Decode steps of a plan that is not made yet, for each of [`decode_batches`].
pub fn decode_steps(spec: &PlanSpec, sizes: &SizeTable) -> Vec<DecodeStep> {
    let gpu = Target::of(spec.target).compute_capability.is_some();
    let reserved = if gpu { RESERVED_BYTES } else { 0 };
    let step = |sequences| {
        let Nanos(nanos) = spec_time(spec, sequences)?;
        let caches = (sequences - 1).saturating_mul(sizes.kv_bytes_of_one_sequence);
        Some(DecodeStep {
            sequences,
            milliseconds: nanos / 1e6,
            tokens_per_second: sequences as f64 * 1e9 / nanos,
            device_bytes: sizes.least_bytes_to_run.saturating_add(reserved).saturating_add(caches),
        })
    };
    decode_batches(&spec.program, &spec.limits).into_iter().filter_map(step).collect()
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
fn spec_time(spec: &PlanSpec, tokens: u64) -> Option<Nanos> {
    let matrix = |id| spec.matrix(id);
    Predicted { target: spec.target, constants: spec.plan_constants(&matrix), limits: &spec.limits }
        .program_time(tokens)
}

fn of_plan(plan: &Plan, time: &dyn Fn(Predicted<'_>) -> Option<Nanos>) -> Option<Nanos> {
    let matrix = code::matrix_of(plan);
    time(Predicted {
        target: plan.target,
        constants: code::plan_constants(plan, &matrix),
        limits: &plan.limits,
    })
}

/// What the plan's kernels were chosen by.
pub fn selection(plan: &Plan) -> Selection {
    Selection {
        target: plan.target,
        buckets: plan.program.buckets.clone(),
        kv: plan.kv.format,
        context: typical_context(&plan.limits),
        exact: is_exact(&plan.program),
    }
}

/// Whether no kernel of a program rounds its inputs.
fn is_exact(program: &Program) -> bool {
    let kernels = program.steps.iter().flat_map(|step| &step.kernels);
    kernels.filter_map(|choice| registry::find(&choice.kernel)).all(|kernel| !kernel.rounds_inputs)
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

impl Predicted<'_> {
    fn step_time(&self, step: &Step, tokens: u64) -> Option<Nanos> {
        let choice = step.kernels.iter().find(|choice| choice.max_tokens >= tokens)?;
        let kernel = registry::find(&choice.kernel)?;
        let shape = self.constants.shape(&step.op, tokens, typical_context(self.limits));
        Some(predicted_time(kernel, &shape, Target::of(self.target)))
    }

    fn program_time(&self, tokens: u64) -> Option<Nanos> {
        let times = self.constants.program.steps.iter().map(|step| Some(self.step_time(step, tokens)?.0));
        Some(Nanos(times.sum::<Option<f64>>()? + self.sampling_time(tokens)?.0))
    }

    /// Of one token for each of the step's, as in decoding.
    fn sampling_time(&self, tokens: u64) -> Option<Nanos> {
        let vocab = self.constants.program.buffers[self.constants.program.logits.0 as usize].width;
        let sampler = registry::find(&self.constants.program.sampler)?;
        Some(predicted_time(sampler, &OpShape::sample(tokens, vocab), Target::of(self.target)))
    }
}
