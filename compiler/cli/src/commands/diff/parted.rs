//! Weights that one plan holds as one and the other member by member: one change each, not one weight gone and others new.

use std::collections::BTreeSet;

use samp_abi::{
    Format,
    plan::{Op, Plan, Tensor},
};

/// The tensors that `plan` holds in place of `whole`, in the order of its rows; `None` unless they are several that together
/// have its sources.
pub fn members<'a>(whole: &Tensor, plan: &'a Plan) -> Option<Vec<&'a Tensor>> {
    let (mut found, mut rest) = (vec![], names(whole));
    while !rest.is_empty() {
        let begins = |t: &&Tensor| !t.sources.is_empty() && rest.starts_with(&names(t));
        let member = plan.tensors.iter().find(begins)?;
        rest.drain(..member.sources.len());
        found.push(member);
    }
    (found.len() > 1).then_some(found)
}

/// Whether `plan` holds the tensor together with others as one.
pub fn is_part(tensor: &Tensor, plan: &Plan) -> bool {
    let own = names(tensor);
    let joins = |whole: &Tensor| {
        let all = names(whole);
        all.len() > own.len() && own.iter().all(|name| all.contains(name))
    };
    !own.is_empty() && plan.tensors.iter().any(joins)
}

/// What is said of the whole and of its members, and by how many bytes these take more; nothing of biases, which part
/// where their weights do.
pub fn change(whole: &Tensor, members: &[&Tensor]) -> Option<(Format, String, i128)> {
    let folder = whole.name.rsplit_once('.').map_or("", |(folder, _)| folder);
    let short = |member: &Tensor| {
        let name = member.name.strip_prefix(folder).unwrap_or(&member.name).trim_start_matches('.');
        name.strip_suffix("_proj").unwrap_or(name).to_owned()
    };
    let follows = whole.rows == 1 && members.iter().all(|member| member.format == whole.format);
    let each: Vec<String> =
        members.iter().map(|member| format!("{}: {}", short(member), member.format)).collect();
    let bytes: i128 = members.iter().map(|member| i128::from(member.bytes())).sum();
    (!follows).then(|| (whole.format, each.join(", "), bytes - i128::from(whole.bytes())))
}

/// The labels of the steps of `plan` that only follow from a linear parted there and whole in `other`, and that linear's.
pub fn steps<'a>(plan: &'a Plan, other: &Plan) -> BTreeSet<&'a str> {
    let whole = |label: &str| {
        other.program.steps.iter().any(|s| s.label == label && matches!(s.op, Op::Linear { .. }))
    };
    let joins = plan.program.steps.iter().filter(|s| matches!(s.op, Op::Concat { .. }) && whole(&s.label));
    let mut labels = BTreeSet::new();
    for join in joins {
        let read = join.op.reads();
        let part = |s: &&samp_abi::plan::Step| s.op.writes().iter().any(|buffer| read.contains(buffer));
        labels.extend(plan.program.steps.iter().filter(part).map(|s| s.label.as_str()));
        labels.insert(&join.label);
    }
    labels
}

fn names(tensor: &Tensor) -> Vec<&str> {
    tensor.sources.iter().map(|source| source.name.as_str()).collect()
}
