//! The phases that a graph goes through.

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

samp_abi::named_enum! {
    Phase, "phase", ParsePhaseError {
        (Phase::Model) => "model",
        (Phase::Fused) => "fused",
        (Phase::Annotated) => "annotated",
        (Phase::Typed) => "typed",
        (Phase::Selected) => "selected",
        (Phase::Planned) => "planned",
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
