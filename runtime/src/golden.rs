//! The load-time self-test: the plan's probe must give the logits that its compiler got.

use samp_abi::plan::Golden;

use crate::{
    batch::Outputs,
    engine::Engine,
    error::{EngineError, GoldenError},
};

impl Engine {
    /// Runs a golden probe of this plan, as [`crate::open`] has checked it, in a sequence of its own.
    pub fn self_test(&mut self, golden: &Golden) -> Result<(), EngineError> {
        let mut positions: Vec<usize> = golden.rows.iter().map(|row| row.position as usize).collect();
        positions.sort_unstable();
        positions.dedup();
        let id = self.create()?;
        let logits = self.append_tokens(id, &golden.token_ids, Outputs::At(&positions));
        self.release(id);
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
}
