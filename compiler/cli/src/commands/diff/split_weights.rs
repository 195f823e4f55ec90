//! Weights that one plan holds fused and the other split into members: one change each, not one weight gone and others new.

use std::collections::BTreeSet;

use samp_abi::{
    Format,
    plan::{Op, Plan, Tensor},
};

/// The members that `plan` holds in place of `fused`, in the order of its rows; `None` unless they are several that together
/// have its sources.
pub fn members<'a>(fused: &Tensor, plan: &'a Plan) -> Option<Vec<&'a Tensor>> {
    let (mut found, mut rest) = (vec![], names(fused));
    while !rest.is_empty() {
        let begins = |t: &&Tensor| !t.sources.is_empty() && rest.starts_with(&names(t));
        let member = plan.tensors.iter().find(begins)?;
        rest.drain(..member.sources.len());
        found.push(member);
    }
    (found.len() > 1).then_some(found)
}

/// Whether `plan` holds the tensor fused with others.
pub fn is_member(tensor: &Tensor, plan: &Plan) -> bool {
    let own = names(tensor);
    let joins = |fused: &Tensor| {
        let all = names(fused);
        all.len() > own.len() && own.iter().all(|name| all.contains(name))
    };
    !own.is_empty() && plan.tensors.iter().any(joins)
}

/// What a fused weight became where it is split.
pub struct Split {
    /// The format of the fused weight.
    pub fused: Format,
    /// The format of each member with its name.
    pub members: String,
    /// Bytes of the members less those of the fused weight.
    pub added_bytes: i128,
}

/// How a fused weight and its members differ; nothing of biases, which are split where their weights are.
pub fn split(fused: &Tensor, members: &[&Tensor]) -> Option<Split> {
    let folder = fused.name.rsplit_once('.').map_or("", |(folder, _)| folder);
    let short = |member: &Tensor| {
        let name = member.name.strip_prefix(folder).unwrap_or(&member.name).trim_start_matches('.');
        name.strip_suffix("_proj").unwrap_or(name).to_owned()
    };
    let follows = fused.rows == 1 && members.iter().all(|member| member.format == fused.format);
    let each: Vec<String> =
        members.iter().map(|member| format!("{}: {}", short(member), member.format)).collect();
    let bytes: i128 = members.iter().map(|member| i128::from(member.bytes())).sum();
    let added_bytes = bytes - i128::from(fused.bytes());
    (!follows).then(|| Split { fused: fused.format, members: each.join(", "), added_bytes })
}

/// The labels of the steps of `plan` that only follow from a linear split there and fused in `other`, and that linear's.
pub fn steps<'a>(plan: &'a Plan, other: &Plan) -> BTreeSet<&'a str> {
    let fused = |label: &str| {
        other.program.steps.iter().any(|s| s.label == label && matches!(s.op, Op::Linear { .. }))
    };
    let joins = plan.program.steps.iter().filter(|s| matches!(s.op, Op::Concat { .. }) && fused(&s.label));
    let mut labels = BTreeSet::new();
    for join in joins {
        let read = join.op.reads();
        let member = |s: &&samp_abi::plan::Step| s.op.writes().iter().any(|buffer| read.contains(buffer));
        labels.extend(plan.program.steps.iter().filter(member).map(|s| s.label.as_str()));
        labels.insert(&join.label);
    }
    labels
}

fn names(tensor: &Tensor) -> Vec<&str> {
    tensor.sources.iter().map(|source| source.name.as_str()).collect()
}
