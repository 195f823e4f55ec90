//! What a quality pass did to a plan.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one quality pass did, as measured while compiling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassEffect {
    /// The pass, such as `equalize`.
    pub pass: String,
    /// What it did to the error of outputs; null where none of the linears that it changed has any.
    pub error: Option<ErrorFactor>,
    /// The most that it moved a logit, of a pass that keeps the function; null of others.
    pub logit_change: Option<f64>,
}

/// The squared error of outputs on calibration tokens with a pass, over that without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorFactor {
    /// Linears that it changed.
    pub linears: usize,
    /// Over all of them, each error relative to the energy of the linear's outputs.
    pub mean: f64,
    /// Where it did worst; linears without a hundredth of the mean error do not count.
    pub worst: f64,
    /// Which that is.
    pub worst_linear: String,
}

impl fmt::Display for PassEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.error.as_ref().map(ErrorFactor::to_string);
        let kept =
            self.logit_change.map(|most| format!("function preserved, largest change of a logit {most:.1e}"));
        f.write_str(&error.into_iter().chain(kept).collect::<Vec<_>>().join("; "))
    }
}

impl fmt::Display for ErrorFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output error × {:.3}, at worst × {:.3} ({})", self.mean, self.worst, self.worst_linear)
    }
}
