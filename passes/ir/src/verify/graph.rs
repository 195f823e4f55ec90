//! Rules about the graph as a whole: names, row counts, caches, the result.

use std::collections::BTreeMap;

use samp_abi::plan::RowDim;

use super::rule::{Finding, GraphRule, Outcome, Violation};
use crate::{
    AttentionOp, AttentionSpec, Dataflow, Dtype, Module, OpKind, OpRef, PagedAttentionOp, Phase,
    RopeAppendOp, Shape, View, error_code,
};

pub(super) const RULES: &[GraphRule] = &[
    rule(error_code::DUPLICATE_NAME, "labels of ops, and keys of weights, are unique", unique_names),
    rule(
        error_code::ROW_COUNT,
        "an op's operands count the same rows, and gather goes from tokens to outputs",
        same_rows,
    ),
    rule(error_code::CACHE_ORDER, "each layer's cache is appended to once, and read after that", caches),
    rule(error_code::GRAPH_RESULT, "the graph returns f32 logits of the outputs", output),
];

const fn rule(code: &'static str, states: &'static str, check: fn(&Module) -> Vec<Finding>) -> GraphRule {
    GraphRule { code, states, from: Phase::Model, until: Phase::Planned, check }
}

fn unique_names(module: &Module) -> Vec<Finding> {
    let mut seen: BTreeMap<(bool, &str), OpRef<'_>> = BTreeMap::new();
    let mut findings = Vec::new();
    for op in module.ops() {
        if op.label().is_empty() {
            findings.push(Finding::at(op, Violation::mismatch(op.kind(), "a label", "an empty one")));
        } else if let Some(first) = seen.insert((op.kind().is_compute(), op.label()), op) {
            let found = format!("that of another {}", first.kind());
            findings.push(Finding::at(op, Violation::unexpected("a name of its own", found)));
        }
    }
    findings
}

fn same_rows(module: &Module) -> Vec<Finding> {
    let flow = Dataflow::new(module);
    let mut findings = Vec::new();
    for op in module.ops() {
        let found: Vec<RowDim> = op.operands().into_iter().filter_map(|v| flow.row_dim(v)).collect();
        let expected = match op.kind() {
            OpKind::Gather => vec![RowDim::Tokens, RowDim::Outputs],
            OpKind::Embed
            | OpKind::Rope
            | OpKind::Attention
            | OpKind::RopeAppend
            | OpKind::PagedAttention => {
                vec![RowDim::Tokens; found.len()]
            }
            _ => vec![found.first().copied().unwrap_or(RowDim::Tokens); found.len()],
        };
        if found != expected {
            let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
            findings.push(Finding::at(op, Violation::mismatch("rows", expected, found)));
        }
    }
    findings
}

fn caches(module: &Module) -> Vec<Finding> {
    let mut appended = BTreeMap::new();
    let mut findings = Vec::new();
    for op in module.ops() {
        let append = AttentionOp::from_op(op)
            .map(|a| a.spec())
            .or_else(|| RopeAppendOp::from_op(op).map(|a| a.spec()));
        if let Some(first) = append.and_then(|spec| appended.insert(spec.layer, op)) {
            let found = format!("another at {}", first.describe());
            findings.push(Finding::at(op, Violation::unexpected("one append per layer", found)));
        }
        if let Some(attention) = PagedAttentionOp::from_op(op) {
            findings.extend(reads_its_append(attention).err().map(|violation| Finding::at(op, violation)));
        }
    }
    findings
}

/// Attention reads what the append of its own layer, with the same heads, left.
fn reads_its_append(attention: PagedAttentionOp<'_>) -> Outcome {
    let spec = attention.spec();
    let append = attention.module().defined_by::<RopeAppendOp<'_>>(attention.kv());
    let none = || Violation::mismatch("kv", "the cache after a samp.rope_append", "another");
    let found = append.ok_or_else(none)?.spec();
    let same = (found.layer, found.heads, found.kv_heads, found.head_dim)
        == (spec.layer, spec.heads, spec.kv_heads, spec.head_dim);
    if same {
        return Ok(());
    }
    let heads_of = |spec: AttentionSpec| {
        format!("layer {} with {}/{} heads of {}", spec.layer, spec.heads, spec.kv_heads, spec.head_dim)
    };
    Err(Violation::mismatch("append", heads_of(spec), heads_of(found)))
}

fn output(module: &Module) -> Vec<Finding> {
    let Some(output) = module.output().filter(|&v| !module.is_cache(v)) else {
        return vec![Finding::of_graph(Violation::mismatch("result", "logits", "the cache"))];
    };
    let definer = module.defining_op(output).map(|op| op.id());
    let ty = module.tensor_type(output);
    let rows = Dataflow::new(module).row_dim(output);
    if matches!(ty.shape, Shape::Activation { .. }) && ty.dtype == Dtype::F32 && rows == Some(RowDim::Outputs)
    {
        return Vec::new();
    }
    let rows = rows.map_or("no rows".to_owned(), |r| format!("rows {r:?}"));
    let expected = "tensor<?xVxf32> with rows Outputs";
    let violation = Violation::mismatch("result", expected, format_args!("{ty} with {rows}"));
    vec![Finding { op: definer, violation }]
}
