//! Quality passes as people name them, with `--quality` and in recipes.

use std::fmt;

use clap::ValueEnum;
use samp_passes::{QuantOptions, Rounding};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error_code;

/// What can be done to weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QualityPass {
    /// Fold norm weights into the linears that read the norm.
    Fold,
    /// Even out the channels between a linear and the one after it.
    Equalize,
    /// Turn the residual stream, and values, by random rotations that the weights take up; not where embeddings are tied.
    Rotate,
    /// Move weights to make up for what rounding those before them changed.
    Correct,
    /// Round to the nearest value.
    Nearest,
    /// Round to the nearest value under the best scale.
    Refine,
    /// Round so that later columns make up for the errors of earlier ones.
    Gptq,
}

/// The passes that run unless told otherwise: those of [`QuantOptions::ALL`].
pub const DEFAULT_QUALITY: [QualityPass; 4] =
    [QualityPass::Fold, QualityPass::Equalize, QualityPass::Correct, QualityPass::Gptq];

/// Why a list of quality passes cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QualityPassError {
    /// The list says no way of rounding, or so many.
    #[error("expected one of nearest, refine and gptq, found {0}: say how weights are rounded")]
    Roundings(usize),
    /// Weights are to be rotated and norms not folded.
    #[error(
        "expected fold with rotate, found rotate alone: add fold, since only norms of ones let rotations through"
    )]
    RotateAlone,
}

impl QualityPassError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        error_code::QUALITY
    }
}

impl QualityPass {
    fn rounding(self) -> Option<Rounding> {
        match self {
            QualityPass::Nearest => Some(Rounding::Nearest),
            QualityPass::Refine => Some(Rounding::Refine),
            QualityPass::Gptq => Some(Rounding::Compensate),
            _ => None,
        }
    }
}

impl fmt::Display for QualityPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no pass is hidden").get_name())
    }
}

/// The options that a list of passes stands for; rotations belong to `seed`.
pub fn quant_options(passes: &[QualityPass], seed: u64) -> Result<QuantOptions, QualityPassError> {
    let has = |pass| passes.contains(&pass);
    let roundings: Vec<Rounding> = passes.iter().filter_map(|pass| pass.rounding()).collect();
    let &[rounding] = roundings.as_slice() else { return Err(QualityPassError::Roundings(roundings.len())) };
    if has(QualityPass::Rotate) && !has(QualityPass::Fold) {
        return Err(QualityPassError::RotateAlone);
    }
    Ok(QuantOptions {
        fold_norms: has(QualityPass::Fold),
        equalize: has(QualityPass::Equalize),
        rotate: has(QualityPass::Rotate).then_some(seed),
        correct: has(QualityPass::Correct),
        rounding,
    })
}
