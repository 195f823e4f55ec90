//! What a rule is, and how an op or a graph breaks one.

use std::fmt::Display;

use samp_abi::{ParseFormatError, ParseLayoutError};

use crate::{Module, OpId, OpKind, OpRef, Phase};

/// A rule about single ops.
pub(super) struct OpRule {
    pub code: &'static str,
    /// What holds, as a sentence for people.
    pub states: &'static str,
    pub ops: &'static [OpKind],
    pub from: Phase,
    pub until: Phase,
    pub check: fn(OpRef<'_>) -> Outcome,
}

/// A rule about the graph as a whole.
pub(super) struct GraphRule {
    pub code: &'static str,
    /// What holds, as a sentence for people.
    pub states: &'static str,
    pub from: Phase,
    pub until: Phase,
    pub check: fn(&Module) -> Vec<Finding>,
}

/// What a check of one op returns.
pub(super) type Outcome = Result<(), Violation>;

/// What a check of the whole graph finds.
pub(super) struct Finding {
    /// The op that it is at; `None` where it is the graph.
    pub op: Option<OpId>,
    pub violation: Violation,
}

/// How a rule is broken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Violation {
    /// Something of an op is not what the rule demands.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch { what: String, expected: String, found: String },
    /// The op or the graph itself is not what the rule demands.
    #[error("expected {expected}, found {found}")]
    Unexpected { expected: String, found: String },
    /// A kind of op that the phase does not have.
    #[error("{0} does not belong here")]
    Illegal(OpKind),
    /// An attribute names no format.
    #[error(transparent)]
    Format(#[from] ParseFormatError),
    /// An attribute names no layout.
    #[error(transparent)]
    Layout(#[from] ParseLayoutError),
}

impl Violation {
    /// Something of an op or a graph is not as expected.
    pub fn mismatch(what: impl Display, expected: impl Display, found: impl Display) -> Violation {
        Violation::Mismatch {
            what: what.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// The op or the graph itself is not as expected.
    pub fn unexpected(expected: impl Display, found: impl Display) -> Violation {
        Violation::Unexpected { expected: expected.to_string(), found: found.to_string() }
    }

    /// An attribute that a phase adds is not there.
    pub fn missing_attribute(name: &str) -> Violation {
        Violation::mismatch(format_args!("attribute `{name}`"), "one from this phase on", "none")
    }
}

impl Finding {
    /// A violation at an op.
    pub fn at(op: OpRef<'_>, violation: Violation) -> Finding {
        Finding { op: Some(op.id()), violation }
    }

    /// A violation of the graph.
    pub fn of_graph(violation: Violation) -> Finding {
        Finding { op: None, violation }
    }
}

/// Fails unless `found` is `expected`.
pub(super) fn equal<T: PartialEq + Display>(what: &str, expected: T, found: T) -> Outcome {
    demand(expected == found, what, &expected, &found)
}

/// Fails with what was expected and found unless `holds`.
pub(super) fn demand(holds: bool, what: &str, expected: impl Display, found: impl Display) -> Outcome {
    if holds { Ok(()) } else { Err(Violation::mismatch(what, expected, found)) }
}
