//! The phases that a graph goes through.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How far a graph has come. Ordered: each phase keeps what the ones before it established.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// As imported: the model's own ops.
    Model,
    /// One op per kernel to come.
    Fused,
    /// Every weight knows what each format would cost, where that was measured.
    Annotated,
    /// Every weight has a number format.
    Typed,
    /// Every compute op has a kernel per token bucket, every weight a layout.
    Selected,
    /// Every activation has its place in the arena.
    Planned,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Phase; 6] =
        [Phase::Model, Phase::Fused, Phase::Annotated, Phase::Typed, Phase::Selected, Phase::Planned];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Model => "model",
            Phase::Fused => "fused",
            Phase::Annotated => "annotated",
            Phase::Typed => "typed",
            Phase::Selected => "selected",
            Phase::Planned => "planned",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A phase name that samp does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown phase `{0}`; known are model, fused, annotated, typed, selected, planned")]
pub struct ParsePhaseError(pub String);

impl FromStr for Phase {
    type Err = ParsePhaseError;

    fn from_str(text: &str) -> Result<Phase, ParsePhaseError> {
        Phase::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| ParsePhaseError(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_in_order() {
        assert!(Phase::ALL.is_sorted());
        for phase in Phase::ALL {
            assert_eq!(phase.to_string().parse(), Ok(phase));
        }
        assert!("lowered".parse::<Phase>().is_err());
    }
}
