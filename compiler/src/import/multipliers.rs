//! Granite's multipliers, folded into what the graph has: no op of its own multiplies by them.
//!
//! With embeddings `e · table[t]` and `x + r · y` for every residual addition, the stream `x / r` begins with `(e / r) · table[t]`
//! and adds `y` plainly. Norms, which alone read the stream, give the same of it where what they add to the mean square is
//! divided by `r²`. Scores are products of queries and keys, so that turning both times `s` multiplies scores by `s²`. What the
//! logits are divided by divides the last norm's weight, which plans keep in f32. All hold exactly but for the rounding of f32.

use samp_ir::Diagnostic;

use super::{family::Family, json::Object};

/// What a config multiplies by; all 1, and no scores of their own, where the architecture has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Multipliers {
    embedding: f64,
    residual: f64,
    /// In place of `head_dim^-1/2`.
    scores: Option<f64>,
    logits_divisor: f64,
}

impl Multipliers {
    const NONE: Multipliers =
        Multipliers { embedding: 1.0, residual: 1.0, scores: None, logits_divisor: 1.0 };

    /// What rows of the embedding are multiplied by.
    pub(super) fn embedding_scale(&self) -> f64 {
        self.embedding / self.residual
    }

    /// What norms of the stream add to the mean square, where the config says `eps`.
    pub(super) fn eps(&self, eps: f64) -> f64 {
        eps / (self.residual * self.residual)
    }

    /// What turned queries and keys are multiplied by.
    pub(super) fn rope_scale(&self, head_dim: u64) -> f64 {
        self.scores.map_or(1.0, |scores| (scores * (head_dim as f64).sqrt()).sqrt())
    }

    /// What the last norm's weight is multiplied by.
    pub(super) fn final_norm(&self) -> f64 {
        1.0 / self.logits_divisor
    }
}

/// Takes the multipliers of an architecture that has them; each is transformers' default of 1 where it is missing.
pub(super) fn multipliers(keys: &mut Object<'_>, family: &Family) -> Result<Multipliers, Diagnostic> {
    if !family.multipliers {
        return Ok(Multipliers::NONE);
    }
    let mut number = |key: &str| {
        let found = keys.number(key, "a number above 1e-6 and up to 1e6", |x| x > 1e-6 && x <= 1e6)?;
        Ok::<f64, Diagnostic>(found.unwrap_or(1.0))
    };
    Ok(Multipliers {
        embedding: number("embedding_multiplier")?,
        residual: number("residual_multiplier")?,
        scores: Some(number("attention_multiplier")?),
        logits_divisor: number("logits_scaling")?,
    })
}
