//! `KL(original ‖ changed)` over calibration tokens, with the original's logits kept.

use rayon::prelude::*;

use super::{CalibrationError, Forward, State, TokenBatch};

/// The original's predictions for some batches.
pub struct Baseline {
    /// Logits of each batch, `[outputs, vocab]`.
    logits: Vec<Vec<f32>>,
}

impl Baseline {
    /// Runs every batch from its beginning with the weights that `forward` holds now.
    pub fn record(forward: &mut Forward, batches: &[TokenBatch]) -> Result<Baseline, CalibrationError> {
        let mut all = Vec::with_capacity(batches.len());
        for batch in batches {
            let logits = forward.logits(batch, &State::default()).to_vec();
            if let Some(at) = logits.iter().position(|l| !l.is_finite()) {
                let record = batch.record_of(at / forward.vocab());
                return Err(CalibrationError::Logits { record });
            }
            all.push(logits);
        }
        Ok(Baseline { logits: all })
    }

    /// For each record of each batch, the sum of `KL(original ‖ changed)` over its predictions in nats, and their number;
    /// `states` say from where each batch is run.
    pub fn divergences(
        &self,
        forward: &mut Forward,
        batches: &[TokenBatch],
        states: &[State],
    ) -> Result<Vec<RecordDivergence>, CalibrationError> {
        let vocab = forward.vocab();
        let mut all = vec![];
        for ((batch, state), original) in batches.iter().zip(states).zip(&self.logits) {
            let changed = forward.logits(batch, state);
            let rows = original.par_chunks_exact(vocab).zip(changed.par_chunks_exact(vocab));
            let nats: Vec<f64> = rows.map(|(p, q)| divergence(p, q)).collect();
            let mut at = 0;
            for (&length, &record) in batch.lengths.iter().zip(&batch.records) {
                let own = &nats[at..at + length - 1];
                at += own.len();
                if own.iter().any(|nats| !nats.is_finite()) {
                    return Err(CalibrationError::Logits { record });
                }
                all.push(RecordDivergence { record, nats: own.iter().sum(), tokens: own.len() });
            }
        }
        Ok(all)
    }
}

/// What one record diverges by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordDivergence {
    /// Which record.
    pub record: usize,
    /// Sum over its predictions, in nats.
    pub nats: f64,
    /// Predictions.
    pub tokens: usize,
}

/// The mean over all predictions, in nats per token.
pub fn mean(records: &[RecordDivergence]) -> f64 {
    let nats: f64 = records.iter().map(|r| r.nats).sum();
    let tokens: usize = records.iter().map(|r| r.tokens).sum();
    nats / tokens.max(1) as f64
}

/// `KL(softmax p ‖ softmax q) = Σ P (p − q) − ln Σ eᵖ + ln Σ e^q` of two rows of logits, in f64.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let max = |row: &[f32]| f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let (max_p, max_q) = (max(p), max(q));
    let (mut sum_p, mut sum_q, mut weighted) = (0.0, 0.0, 0.0);
    for (&p, &q) in p.iter().zip(q) {
        let (p, q) = (f64::from(p) - max_p, f64::from(q) - max_q);
        let mass = p.exp();
        sum_p += mass;
        sum_q += q.exp();
        weighted += mass * (p - q);
    }
    weighted / sum_p - sum_p.ln() + sum_q.ln()
}
