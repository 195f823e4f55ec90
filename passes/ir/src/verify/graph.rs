//! Rules about the graph as a whole: names, row counts, caches, the result.

use std::collections::BTreeMap;

use samp_abi::plan::RowDim;

use super::{Findings, GraphRule};
use crate::error_code;
use crate::{
    AttentionOp, Dataflow, Dtype, Module, OpKind, OpRef, PagedAttentionOp, Phase, RopeAppendOp, Shape, View,
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

const fn rule(code: &'static str, states: &'static str, check: fn(&Module) -> Findings) -> GraphRule {
    GraphRule { code, states, from: Phase::Model, until: Phase::Planned, check }
}

fn unique_names(module: &Module) -> Findings {
    let mut seen: BTreeMap<(bool, &str), OpRef<'_>> = BTreeMap::new();
    let mut findings = Vec::new();
    for op in module.ops() {
        if op.label().is_empty() {
            findings.push((Some(op.id()), format!("{}: expected a label, found an empty one", op.kind())));
        } else if let Some(first) = seen.insert((op.kind().is_compute(), op.label()), op) {
            let message = format!("expected a name of its own, found that of another {}", first.kind());
            findings.push((Some(op.id()), message));
        }
    }
    findings
}

fn same_rows(module: &Module) -> Findings {
    let flow = Dataflow::of(module);
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
            findings.push((Some(op.id()), format!("rows: expected {expected:?}, found {found:?}")));
        }
    }
    findings
}

fn caches(module: &Module) -> Findings {
    let mut appended = BTreeMap::new();
    let mut findings = Vec::new();
    for op in module.ops() {
        let append = AttentionOp::of(op).map(|a| a.spec()).or_else(|| RopeAppendOp::of(op).map(|a| a.spec()));
        if let Some(first) = append.and_then(|spec| appended.insert(spec.layer, op)) {
            let message = format!("expected one append per layer, found another at {}", first.describe());
            findings.push((Some(op.id()), message));
        }
        if let Some(attention) = PagedAttentionOp::of(op) {
            findings.extend(reads_its_append(attention).err().map(|message| (Some(op.id()), message)));
        }
    }
    findings
}

/// Attention reads what the append of its own layer, with the same heads, left.
fn reads_its_append(attention: PagedAttentionOp<'_>) -> Result<(), String> {
    let spec = attention.spec();
    let append = attention.module().defined_by::<RopeAppendOp<'_>>(attention.kv());
    let found = append.ok_or("kv: expected the cache after a samp.rope_append, found another")?.spec();
    let same = (found.layer, found.heads, found.kv_heads, found.head_dim)
        == (spec.layer, spec.heads, spec.kv_heads, spec.head_dim);
    if same {
        return Ok(());
    }
    Err(format!(
        "append: expected layer {} with {}/{} heads of {}, found layer {} with {}/{} heads of {}",
        spec.layer,
        spec.heads,
        spec.kv_heads,
        spec.head_dim,
        found.layer,
        found.heads,
        found.kv_heads,
        found.head_dim
    ))
}

fn output(module: &Module) -> Findings {
    let Some(output) = module.output().filter(|&v| !module.is_cache(v)) else {
        return vec![(None, "result: expected logits, found the cache".into())];
    };
    let definer = module.defining_op(output).map(|op| op.id());
    let ty = module.tensor_type(output);
    let rows = Dataflow::of(module).row_dim(output);
    if matches!(ty.shape, Shape::Activation { .. }) && ty.dtype == Dtype::F32 && rows == Some(RowDim::Outputs)
    {
        return Vec::new();
    }
    let rows = rows.map_or("no rows".to_owned(), |r| format!("rows {r:?}"));
    vec![(definer, format!("result: expected tensor<?xVxf32> with rows Outputs, found {ty} with {rows}"))]
}
