//! The load-time self-test: the plan's probe must give the logits that its compiler got.

use samp_abi::plan::Golden;

use crate::{
    batch::Outputs,
    engine::{Engine, EngineError},
};

/// The device computes something else than the compiler did.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "the golden probe failed: at position {position}, token {token}, expected logit {expected}, found {found}, \
     further apart than {tolerance}; this machine or this build computes wrongly, or the plan was made by another: \
     compile the model again here, or report a defect"
)]
pub struct GoldenError {
    /// Position in the probe.
    pub position: u32,
    /// Token whose logit differs most.
    pub token: u32,
    /// The compiler's logit.
    pub expected: f32,
    /// This device's logit.
    pub found: f32,
    /// Largest difference allowed.
    pub tolerance: f64,
}

/// Runs a probe, whose tokens and positions are those of the engine's model, in a sequence of its own.
pub(crate) fn check(engine: &mut Engine, golden: &Golden) -> Result<(), EngineError> {
    let mut positions: Vec<usize> = golden.rows.iter().map(|row| row.position as usize).collect();
    positions.sort_unstable();
    positions.dedup();
    let id = engine.create()?;
    let logits = engine.prefill(id, &golden.token_ids, Outputs::At(&positions));
    engine.release(id);
    let logits = logits?;
    let mut worst: Option<(f64, GoldenError)> = None;
    for row in &golden.rows {
        let index = positions.partition_point(|&p| p < row.position as usize);
        for &(token, expected) in &row.logits {
            let found = logits.row(index)[token as usize];
            let difference = (f64::from(found) - f64::from(expected)).abs();
            // A NaN compares as further apart than anything.
            let apart = if difference.is_nan() { f64::INFINITY } else { difference };
            if apart > golden.tolerance && worst.as_ref().is_none_or(|(largest, _)| apart > *largest) {
                let (position, tolerance) = (row.position, golden.tolerance);
                worst = Some((apart, GoldenError { position, token, expected, found, tolerance }));
            }
        }
    }
    worst.map_or(Ok(()), |(_, error)| Err(error.into()))
}
