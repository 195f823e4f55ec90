//! Rules about what each phase allows and adds: which ops, formats, layouts, kernels.

use samp_abi::{Format, Layout};

use super::rule::{Finding, GraphRule, OpRule, Outcome, Violation, demand, equal};
use crate::{
    Dtype, Module, OpKind, OpRef, Phase, Shape,
    attribute::{self, text},
    error_code,
};

/// Ops that only the model phase has.
const UNFUSED: &[OpKind] = &[OpKind::Rope, OpKind::Attention];
/// Ops that fusion makes.
const FUSED: &[OpKind] = &[OpKind::AddRmsNorm, OpKind::RopeAppend, OpKind::PagedAttention, OpKind::Concat];
const WEIGHT: &[OpKind] = &[OpKind::Weight];
pub(super) const RULES: &[OpRule] = &[
    only(error_code::ILLEGAL_IN_PHASE, "no op that fusion makes", FUSED, Phase::Model, illegal),
    from(error_code::ILLEGAL_IN_PHASE, "no op that fusion replaces", UNFUSED, Phase::Fused, illegal),
    only(
        error_code::ILLEGAL_IN_PHASE,
        "gate and up are two operands",
        &[OpKind::SiluMul],
        Phase::Model,
        |op| operands(op, 2),
    ),
    from(
        error_code::ILLEGAL_IN_PHASE,
        "gate and up are one operand",
        &[OpKind::SiluMul],
        Phase::Fused,
        |op| operands(op, 1),
    ),
    until(error_code::ACTIVATION_TYPE, "activations are f32", OpKind::COMPUTE, Phase::Annotated, all_f32),
    until(error_code::SENSITIVITY, "weights have no sensitivity yet", WEIGHT, Phase::Fused, |op| {
        absent(op, "sensitivity")
    }),
    from(
        error_code::SENSITIVITY,
        "a sensitivity is formats with their loss",
        WEIGHT,
        Phase::Annotated,
        sensitivity,
    ),
    until(error_code::WEIGHT_FORMAT, "weights have no format yet", WEIGHT, Phase::Annotated, |op| {
        absent(op, "format")
    }),
    from(
        error_code::WEIGHT_FORMAT,
        "every weight has a format; vectors are f32",
        WEIGHT,
        Phase::Typed,
        format,
    ),
    until(error_code::WEIGHT_LAYOUT, "weights have no layout yet", WEIGHT, Phase::Typed, |op| {
        absent(op, "layout")
    }),
    from(error_code::WEIGHT_LAYOUT, "every weight has a layout", WEIGHT, Phase::Selected, layout),
    until(error_code::KERNELS, "ops have no kernels yet", OpKind::COMPUTE, Phase::Typed, |op| {
        absent(op, "kernels")
    }),
    from(
        error_code::KERNELS,
        "every op has a kernel for each token bucket",
        OpKind::COMPUTE,
        Phase::Selected,
        kernels,
    ),
];

type Kinds = &'static [OpKind];
type Check = fn(OpRef<'_>) -> Outcome;

const fn only(code: &'static str, states: &'static str, ops: Kinds, phase: Phase, check: Check) -> OpRule {
    OpRule { code, states, ops, from: phase, until: phase, check }
}

const fn from(code: &'static str, states: &'static str, ops: Kinds, phase: Phase, check: Check) -> OpRule {
    OpRule { code, states, ops, from: phase, until: Phase::Planned, check }
}

const fn until(code: &'static str, states: &'static str, ops: Kinds, phase: Phase, check: Check) -> OpRule {
    OpRule { code, states, ops, from: Phase::Model, until: phase, check }
}

pub(super) const GRAPH_RULES: &[GraphRule] = &[GraphRule {
    code: error_code::TOKEN_BUCKETS,
    states: "all ops have the same token buckets",
    from: Phase::Selected,
    until: Phase::Planned,
    check: same_buckets,
}];

fn illegal(op: OpRef<'_>) -> Outcome {
    Err(Violation::Illegal(op.kind()))
}

fn operands(op: OpRef<'_>, expected: usize) -> Outcome {
    equal("number of operands", expected, op.operands().len())
}

fn all_f32(op: OpRef<'_>) -> Outcome {
    let tensors = op.results().into_iter().filter(|&r| !op.module().is_cache(r));
    tensors
        .map(|r| op.module().tensor_type(r).dtype)
        .try_for_each(|dtype| equal("element type of a result", Dtype::F32, dtype))
}

/// Later phases add the attribute.
pub(super) fn absent(op: OpRef<'_>, name: &str) -> Outcome {
    match attribute::is_present(op.raw(), name) {
        true => Err(Violation::mismatch(format_args!("attribute `{name}`"), "none in this phase", "one")),
        false => Ok(()),
    }
}

fn required<'m>(op: OpRef<'m>, name: &str) -> Result<&'m str, Violation> {
    text(op.raw(), name).ok_or_else(|| Violation::missing_attribute(name))
}

fn sensitivity(op: OpRef<'_>) -> Outcome {
    let known = !attribute::is_present(op.raw(), "sensitivity") || attribute::sensitivity(op.raw()).is_some();
    demand(known, "attribute `sensitivity`", "entries `FORMAT:NATS` with finite numbers", "another text")
}

fn format(op: OpRef<'_>) -> Outcome {
    let format: Format = required(op, "format")?.parse()?;
    equal("format", format.name(), required(op, "format")?)?;
    match op.tensor_type().shape {
        Shape::Matrix { cols, .. } => {
            let multiple = format.column_multiple();
            let expected = format!("a multiple of {multiple} for {format}");
            demand(cols.is_multiple_of(multiple), "columns", expected, cols)
        }
        _ => equal("format of a vector", Format::F32, format),
    }
}

fn layout(op: OpRef<'_>) -> Outcome {
    required(op, "layout")?.parse::<Layout>()?;
    Ok(())
}

fn kernels(op: OpRef<'_>) -> Outcome {
    if !attribute::is_present(op.raw(), "kernels") {
        return Err(Violation::missing_attribute("kernels"));
    }
    let choices = attribute::kernels(op.raw());
    let choices = choices.ok_or_else(|| {
        Violation::mismatch("attribute `kernels`", "entries `BUCKET,…:KERNEL`", "another text")
    })?;
    let buckets: Vec<u64> = choices.iter().map(|c| c.max_tokens).collect();
    let ascend = !buckets.is_empty() && buckets[0] > 0 && buckets.is_sorted_by(|a, b| a < b);
    demand(ascend, "token buckets", "at least one, ascending from above 0", format!("{buckets:?}"))
}

fn same_buckets(module: &Module) -> Vec<Finding> {
    let buckets = |op: OpRef<'_>| op.kernels().iter().map(|c| c.max_tokens).collect::<Vec<_>>();
    // An op without kernels breaks the rule before this one.
    let mut ops = module.ops().filter(|&op| !buckets(op).is_empty());
    let Some(first) = ops.next() else { return vec![] };
    let expected = buckets(first);
    let violation = |found| {
        let expected = format!("{expected:?} as at {}", first.describe());
        Violation::mismatch("buckets", expected, format!("{found:?}"))
    };
    ops.map(|op| (op, buckets(op)))
        .filter(|(_, found)| *found != expected)
        .map(|(op, found)| Finding::at(op, violation(found)))
        .collect()
}
