//! The programs of two plans: which steps there are, what they compute from what, and with which kernels.

use std::collections::{BTreeMap, BTreeSet};

use samp_abi::{
    Format,
    plan::{BufferId, KernelChoice, Op, Plan, Step},
};

use super::{change::Change, split_weights};

/// What differs, step by step; a step is known by its label. What follows from a linear that only one plan splits is said of
/// its weight alone.
pub fn differences(a: &Plan, b: &Plan) -> Vec<Change> {
    let (in_a, in_b) = (Steps::new(a), Steps::new(b));
    let mut follows = split_weights::steps(a, b);
    follows.extend(split_weights::steps(b, a));
    let own = |step: &&Step| !follows.contains(step.label.as_str());
    let mut changes = vec![];
    for step in a.program.steps.iter().filter(own) {
        let Some(other) = in_b.by_label.get(step.label.as_str()) else {
            changes.push(Change::new(&step.label, "step", step.op.kind(), "absent"));
            continue;
        };
        let (x, y) = (in_a.computes(step), in_b.computes(other));
        if x != y {
            changes.push(Change::new(&step.label, "step", x, y));
        } else if in_a.formats(step) == in_b.formats(other) {
            // With other formats, other kernels would only follow.
            changes.extend(kernels(&step.label, &step.kernels, &other.kernels));
        }
    }
    let added = b.program.steps.iter().filter(own).filter(|s| !in_a.by_label.contains_key(s.label.as_str()));
    changes.extend(added.map(|s| Change::new(&s.label, "step", "absent", s.op.kind())));
    let (x, y) = (in_a.order(&in_b), in_b.order(&in_a));
    if let Some((first, second)) = x.iter().zip(&y).find(|(x, y)| x != y) {
        changes.push(Change::new("program", "order, first", first, second));
    }
    changes
}

/// A program's steps by label.
struct Steps<'a> {
    plan: &'a Plan,
    by_label: BTreeMap<&'a str, &'a Step>,
    /// The step and result that each buffer holds.
    written: BTreeMap<BufferId, String>,
}

impl<'a> Steps<'a> {
    fn new(plan: &'a Plan) -> Steps<'a> {
        let steps = plan.program.steps.iter();
        let written = steps.clone().flat_map(|s| {
            s.op.writes().into_iter().enumerate().map(|(i, buffer)| (buffer, format!("{}#{i}", s.label)))
        });
        Steps { plan, written: written.collect(), by_label: steps.map(|s| (s.label.as_str(), s)).collect() }
    }

    /// What a step computes, in names that do not depend on the numbering of buffers and tensors.
    fn computes(&self, step: &Step) -> String {
        let constants = match step.op {
            Op::RmsNorm { eps, .. } | Op::AddRmsNorm { eps, .. } => format!(" eps {eps:e}"),
            Op::RopeAppend { layer, .. } | Op::PagedAttention { layer, .. } => format!(" layer {layer}"),
            _ => String::new(),
        };
        let buffers = step.op.reads().into_iter().map(|b| self.written.get(&b).cloned().unwrap_or_default());
        let tensor = |id: usize| self.plan.tensors.get(id).map_or(String::new(), |t| t.name.clone());
        let tensors = step.op.tensors().into_iter().map(|t| tensor(t.0 as usize));
        let inputs: Vec<String> = buffers.chain(tensors).collect();
        format!("{}({}){constants}", step.op.kind(), inputs.join(", "))
    }

    fn formats(&self, step: &Step) -> Vec<Option<Format>> {
        let tensors = step.op.tensors().into_iter();
        tensors.map(|t| self.plan.tensors.get(t.0 as usize).map(|t| t.format)).collect()
    }

    /// The steps that the other program has too, in this one's order.
    fn order(&self, other: &Steps<'_>) -> Vec<&'a str> {
        let labels = self.plan.program.steps.iter().map(|s| s.label.as_str());
        labels.filter(|label| other.by_label.contains_key(label)).collect()
    }
}

/// Ranges of tokens that run on another kernel, neighbours with the same change drawn together. Buckets may be cut
/// differently: what counts is which kernel a number of tokens meets.
fn kernels(label: &str, a: &[KernelChoice], b: &[KernelChoice]) -> Vec<Change> {
    let meets = |choices: &[KernelChoice], tokens: u64| -> Option<String> {
        choices.iter().find(|c| tokens <= c.max_tokens).map(|c| c.kernel.clone())
    };
    let bounds: BTreeSet<u64> = a.iter().chain(b).map(|c| c.max_tokens).collect();
    /// Tokens that meet one change of kernels.
    struct Run {
        first: u64,
        last: u64,
        a: String,
        b: String,
    }
    let mut runs: Vec<Run> = vec![];
    let mut first = 1;
    for last in bounds {
        if let (Some(x), Some(y)) = (meets(a, last), meets(b, last))
            && x != y
        {
            match runs.last_mut() {
                Some(run) if run.last + 1 == first && (&run.a, &run.b) == (&x, &y) => run.last = last,
                _ => runs.push(Run { first, last, a: x, b: y }),
            }
        }
        first = last.saturating_add(1);
    }
    let change = |Run { first, last, a, b }: Run| {
        Change::new(label, &format!("kernel for {first} to {last} tokens"), a, b)
    };
    runs.into_iter().map(change).collect()
}
