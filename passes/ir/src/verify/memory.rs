//! Rules about the arena: every tensor has a place, and none lies on another that is alive.

use super::{
    phases,
    rule::{Finding, GraphRule, OpRule, Outcome, Violation, demand, equal},
};
use crate::{
    AddRmsNormOp, Dataflow, LiveRange, Module, OpId, OpKind, OpRef, Phase, ValueId, attribute, error_code,
};

/// Every tensor of the arena starts on a multiple of so many bytes: a cache line, and enough for any vector load.
pub const ARENA_ALIGNMENT: u64 = 64;

pub(super) const RULES: &[OpRule] = &[
    OpRule {
        code: error_code::OFFSETS,
        states: "ops have no offsets yet",
        ops: OpKind::COMPUTE,
        from: Phase::Model,
        until: Phase::Selected,
        check: |op| phases::absent(op, "offsets"),
    },
    OpRule {
        code: error_code::OFFSETS,
        states: "every tensor result has an offset",
        ops: OpKind::COMPUTE,
        from: Phase::Planned,
        until: Phase::Planned,
        check: offsets,
    },
];

pub(super) const GRAPH_RULES: &[GraphRule] = &[GraphRule {
    code: error_code::ARENA,
    states: "tensors lie within samp.arena_bytes at samp.max_tokens rows, and apart while alive",
    from: Phase::Planned,
    until: Phase::Planned,
    check: arena,
}];

fn offsets(op: OpRef<'_>) -> Outcome {
    if !attribute::is_present(op.raw(), "offsets") {
        return Err(Violation::missing_attribute("offsets"));
    }
    let tensors = op.results().into_iter().filter(|&r| !op.module().is_cache(r)).count();
    equal("number of offsets", tensors, op.offsets().len())?;
    let aligned = op.offsets().iter().all(|o| o.is_multiple_of(ARENA_ALIGNMENT));
    demand(aligned, "offsets", format!("multiples of {ARENA_ALIGNMENT}"), format!("{:?}", op.offsets()))
}

/// A tensor with its place.
struct Place {
    op: OpId,
    live: LiveRange,
    start: u64,
    end: u64,
}

fn arena(module: &Module) -> Vec<Finding> {
    let (Some(arena), Some(tokens)) = (module.integer("samp.arena_bytes"), module.integer("samp.max_tokens"))
    else {
        let expected = "the module's samp.arena_bytes and samp.max_tokens";
        return vec![Finding::of_graph(Violation::unexpected(expected, "not both"))];
    };
    let ranges = Dataflow::new(module).live_ranges();
    let places: Vec<Place> = ranges.into_iter().filter_map(|live| place(module, live, tokens)).collect();
    let mut findings = Vec::new();
    for (index, a) in places.iter().enumerate() {
        if a.end > arena {
            let violation = Violation::unexpected(format_args!("an end within {arena} bytes"), a.end);
            findings.push(Finding { op: Some(a.op), violation });
        }
        let overlap = |b: &Place| a.live.overlaps(&b.live) && a.start < b.end && b.start < a.end;
        let collides = |b: &&Place| overlap(b) && !adds_in_place(module, a, b);
        for b in places[..index].iter().filter(collides) {
            let other = module.op(b.op).describe();
            let violation = Violation::mismatch(
                format_args!("bytes {}..{}", a.start, a.end),
                "to be free",
                format_args!("{other} alive in {}..{}", b.start, b.end),
            );
            findings.push(Finding { op: Some(a.op), violation });
        }
    }
    findings
}

/// Whether `a` is a fused sum that takes over the whole place of a summand that dies there: the one op that works in
/// place.
fn adds_in_place(module: &Module, a: &Place, b: &Place) -> bool {
    let Some(fused) = module.view::<AddRmsNormOp>(a.op) else { return false };
    let summand = fused.x() != fused.residual() && [fused.x(), fused.residual()].contains(&b.live.value);
    fused.sum() == a.live.value
        && summand
        && b.live.end == a.live.start
        && (a.start, a.end) == (b.start, b.end)
}

/// Where the plan puts a tensor; `None` where the offset is missing, which another rule reports.
fn place(module: &Module, live: LiveRange, tokens: u64) -> Option<Place> {
    let op = module.defining_op(live.value)?;
    let tensors = op.results().into_iter().filter(|&r| !module.is_cache(r));
    let index = tensors.into_iter().position(|r: ValueId| r == live.value)?;
    let start = *op.offsets().get(index)?;
    let ty = module.tensor_type(live.value);
    let bytes = tokens.saturating_mul(ty.width()).saturating_mul(ty.dtype.bytes());
    Some(Place { op: op.id(), live, start, end: start.saturating_add(bytes) })
}
