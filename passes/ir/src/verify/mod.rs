//! The verifier: MLIR's own structural verification, then a table of rules. Each rule names the ops and the
//! phases that it holds for and says what it expected and what it found.

mod graph;
mod memory;
mod phases;
mod rule;
mod shapes;

pub use memory::ARENA_ALIGNMENT;
use rule::{GraphRule, OpRule, Violation};

use crate::{Diagnostic, Family, Location, Module, OpRef, Phase, raw, structure};

/// The rules about single ops, by file.
const OP_RULES: [&[OpRule]; 3] = [shapes::RULES, phases::RULES, memory::RULES];
/// The rules about the graph, by file.
const GRAPH_RULES: [&[GraphRule]; 3] = [graph::RULES, phases::GRAPH_RULES, memory::GRAPH_RULES];

/// Checks that `module` is what a graph of `phase` has to be.
///
/// # Errors
/// The first finding; a note says how many more there are.
pub fn verify(module: &Module, phase: Phase) -> Result<(), Diagnostic> {
    first_of(findings(module, phase))
}

/// Checks `module` between two passes, when it has left the phase `from` but not reached `to`: what must hold in both
/// must hold on the way.
///
/// # Errors
/// The first finding; a note says how many more there are.
pub fn verify_between(module: &Module, from: Phase, to: Phase) -> Result<(), Diagnostic> {
    first_of(findings_in(module, from, to))
}

fn first_of(findings: Vec<Diagnostic>) -> Result<(), Diagnostic> {
    let more = findings.len().saturating_sub(1);
    match findings.into_iter().next() {
        None => Ok(()),
        Some(first) if more == 0 => Err(first),
        Some(first) => Err(first.note(format!("{more} more findings"))),
    }
}

/// Everything that keeps `module` from being a graph of `phase`, in the order of the rules. Where the
/// structure is broken only that is reported: the rules rely on it.
pub fn findings(module: &Module, phase: Phase) -> Vec<Diagnostic> {
    findings_in(module, phase, phase)
}

/// What the rules find that hold throughout `first..=last`.
fn findings_in(module: &Module, first: Phase, last: Phase) -> Vec<Diagnostic> {
    let holds = |from: Phase, until: Phase| from <= first && last <= until;
    let broken = structure_findings(module);
    if !broken.is_empty() {
        return broken;
    }
    let mut findings = Vec::new();
    for rule in OP_RULES.into_iter().flatten().filter(|r| holds(r.from, r.until)) {
        for op in module.ops().filter(|op| rule.ops.contains(&op.kind())) {
            if let Err(violation) = (rule.check)(op) {
                findings.push(finding(rule.code, &violation, last, rule.states, Some(op)));
            }
        }
    }
    for rule in GRAPH_RULES.into_iter().flatten().filter(|r| holds(r.from, r.until)) {
        for found in (rule.check)(module) {
            let op = found.op.map(|id| module.op(id));
            findings.push(finding(rule.code, &found.violation, last, rule.states, op));
        }
    }
    findings
}

fn finding(
    code: &'static str,
    violation: &Violation,
    phase: Phase,
    states: &str,
    op: Option<OpRef<'_>>,
) -> Diagnostic {
    let mut finding =
        Diagnostic::compiler_bug(code, violation.to_string()).note(format!("{phase} phase: {states}"));
    *finding.location = op.map_or_else(Location::default, OpRef::location);
    finding
}

/// What MLIR and the dialect say, then what views rely on.
fn structure_findings(module: &Module) -> Vec<Diagnostic> {
    let (valid, messages) = raw::with_messages(module.mlir(), || raw::verify(module.raw_module()));
    let findings = match valid {
        false => vec![structure::refusal(messages)],
        true => match structure::check_function(module.mlir(), &module.raw) {
            Err(finding) => vec![finding],
            Ok(()) => structure::check_ops(module),
        },
    };
    findings.into_iter().map(|f| Diagnostic { family: Family::CompilerBug, ..f }).collect()
}
