//! How long each step of a plan takes by the cost model of its kernels.

use samp_abi::{
    TargetName,
    plan::{Op, Plan, Step},
};
use samp_kernels::{
    cost::Nanos,
    registry::{self, Shape},
    target::Target,
};
use samp_passes::Selection;

use crate::pipeline::typical_context;

/// What the plan's kernels were chosen by.
pub fn selection(plan: &Plan) -> Selection {
    Selection {
        target: plan.target,
        buckets: plan.program.buckets.clone(),
        kv: plan.kv.format,
        context: typical_context(&plan.limits),
    }
}

/// The predicted time of one step over so many tokens, by the kernel that the plan runs it with; `None` where this build
/// does not know the kernel.
pub fn step_time(plan: &Plan, step: &Step, tokens: u64) -> Option<Nanos> {
    let choice = step.kernels.iter().find(|choice| choice.max_tokens >= tokens)?;
    let kernel = registry::find(&choice.kernel)?;
    Some((kernel.work)(&shape(plan, &step.op, tokens)).time(Target::of(plan.target)))
}

/// The predicted time of the whole program over so many tokens.
pub fn program_time(plan: &Plan, tokens: u64) -> Option<Nanos> {
    let times = plan.program.steps.iter().map(|step| Some(step_time(plan, step, tokens)?.0));
    times.sum::<Option<f64>>().map(Nanos)
}

/// Numbers of sequences that the plan decodes at once: its token buckets up to the most it keeps alive.
pub fn decode_batches(plan: &Plan) -> Vec<u64> {
    let most = plan.limits.max_sequences.min(plan.limits.max_tokens);
    let below = plan.program.buckets.iter().copied().filter(|&bucket| bucket < most);
    below.chain([most]).collect()
}

/// What the target is, for people.
pub fn target_description(target: TargetName) -> &'static str {
    Target::of(target).description
}

fn shape(plan: &Plan, op: &Op, tokens: u64) -> Shape {
    let width = |buffers: Vec<samp_abi::plan::BufferId>| {
        buffers.first().map_or(0, |id| plan.program.buffers[id.0 as usize].width)
    };
    let (rows, cols, format) = match op {
        Op::Linear { weight, .. } | Op::Embed { weight, .. } => {
            let tensor = &plan.tensors[weight.0 as usize];
            (tensor.rows, tensor.cols, Some(tensor.format))
        }
        Op::RopeAppend { .. } | Op::PagedAttention { .. } => (width(op.reads()), 0, Some(plan.kv.format)),
        _ => (width(op.writes()), 0, None),
    };
    Shape { tokens, rows, cols, format, context: typical_context(&plan.limits) }
}
