//! The golden probe: a few tokens and the logits they must give, run when a plan is loaded.

use serde::{Deserialize, Serialize};

/// File name of the probe inside a plan.
pub const GOLDEN_FILE: &str = "golden.json";

/// Tokens of one sequence and what the compiler's own run of the plan gave for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The tokens that the model is run on.
    pub token_ids: Vec<u32>,
    /// Largest absolute difference that a device may show.
    pub tolerance: f64,
    /// Expected logits at some positions.
    pub rows: Vec<GoldenRow>,
}

/// Expected logits after one position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GoldenRow {
    /// Position in the probe.
    pub position: u32,
    /// `(token id, logit)` pairs: the largest logits and an even sample of the rest.
    pub logits: Vec<(u32, f32)>,
}
