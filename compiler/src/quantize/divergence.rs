//! `KL(original ‖ changed)` over calibration tokens, with what the original's head reads kept: its logits would take many times
//! as much memory, and follow from that bit for bit.

use std::collections::BTreeMap;

use rayon::prelude::*;
use samp_abi::Component;
use samp_kernels::{
    divergence::{Divergence as TokenDivergence, divergence},
    linear::{self, LinearArgs},
};
use samp_runtime::Progress;

use super::{
    error::{QuantizeError, advance},
    forward::{Forward, State},
    spill::SpilledTensor,
    token_batch::TokenBatch,
};
use crate::certificate::Divergence;

/// Rows of logits that are made at once.
const ROWS: usize = 128;

/// The original's predictions for some batches.
pub(super) struct Baseline {
    /// What the head reads in each batch, `[outputs, cols]`.
    inputs: Vec<Vec<f32>>,
    head: Head,
}

/// The original's head.
struct Head {
    weight: SpilledTensor,
    bias: Option<SpilledTensor>,
    cols: usize,
}

impl Head {
    /// The logits of some rows.
    fn logits(&self, x: &[f32], vocab: usize) -> Vec<f32> {
        let mut out = vec![0.0; x.len() / self.cols * vocab];
        let bias = self.bias.as_ref().map(|bias| bias.view().part_as(Component::Values));
        linear::panel(LinearArgs { x, weight: self.weight.view(), bias, out: &mut out });
        out
    }
}

impl Baseline {
    /// Runs every batch from its beginning with the weights that `forward` holds now. `progress` hears of each.
    pub(super) fn record(
        forward: &mut Forward,
        batches: &[TokenBatch],
        progress: &dyn Progress,
    ) -> Result<Baseline, QuantizeError> {
        let head = forward.head();
        let mut inputs = Vec::with_capacity(batches.len());
        for batch in batches {
            let before = forward.advance(batch, &State::default(), head.step, None);
            let logits = forward.logits(batch, &before);
            if let Some(at) = logits.iter().position(|l| !l.is_finite()) {
                let record = batch.record_of(at / forward.vocab());
                return Err(QuantizeError::Logits { record });
            }
            inputs.push(before.get(head.x).to_vec());
            advance(progress, "")?;
        }
        let weights = forward.weights();
        let head = Head {
            weight: weights.spilled(head.weight),
            bias: head.bias.map(|bias| weights.spilled(bias)),
            cols: weights.cols(head.weight),
        };
        Ok(Baseline { inputs, head })
    }

    /// For each record of each batch, the sum of `KL(original ‖ changed)` over its predictions in nats, and their number;
    /// `states` say from where each batch is run. `progress` hears of each.
    pub(super) fn divergences(
        &self,
        forward: &mut Forward,
        batches: &[TokenBatch],
        states: &[State],
        progress: &dyn Progress,
    ) -> Result<Vec<RecordDivergence>, QuantizeError> {
        let vocab = forward.vocab();
        let mut all = vec![];
        for ((batch, state), original) in batches.iter().zip(states).zip(&self.inputs) {
            let changed = forward.logits(batch, state);
            let next = batch.next_tokens();
            let rows = original.chunks(ROWS * self.head.cols).zip(changed.chunks(ROWS * vocab));
            let mut each: Vec<TokenDivergence> = vec![];
            for ((x, changed), next) in rows.zip(next.chunks(ROWS)) {
                let original = self.head.logits(x, vocab);
                let rows = original.par_chunks_exact(vocab).zip(changed.par_chunks_exact(vocab));
                let found = rows.zip(next).map(|((p, q), &next)| divergence(p, q, next as usize));
                each.par_extend(found);
            }
            let mut at = 0;
            for (&length, &record) in batch.lengths.iter().zip(&batch.records) {
                let own = &each[at..at + length - 1];
                at += own.len();
                if own.iter().any(|each| !each.nats.is_finite()) {
                    return Err(QuantizeError::Logits { record });
                }
                let sum = |pick: fn(&TokenDivergence) -> f64| own.iter().map(pick).sum();
                all.push(RecordDivergence {
                    record,
                    nats: sum(|each| each.nats),
                    nll_growth: sum(|each| each.excess),
                    tokens: own.len(),
                });
            }
            advance(progress, "")?;
        }
        Ok(all)
    }
}

/// What one record diverges by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RecordDivergence {
    /// Which record.
    pub record: usize,
    /// Sum over its predictions, in nats.
    pub nats: f64,
    /// How much less likely the changed model finds the text: the sum of `ln p(next) − ln q(next)`.
    pub nll_growth: f64,
    /// Predictions.
    pub tokens: usize,
}

/// The mean over all predictions, in nats per token.
pub(super) fn mean(records: &[RecordDivergence]) -> f64 {
    let nats: f64 = records.iter().map(|r| r.nats).sum();
    let tokens: usize = records.iter().map(|r| r.tokens).sum();
    nats / tokens.max(1) as f64
}

/// The mean divergence over all records and over those of each stratum; `strata` are those of the records.
pub(super) fn by_stratum(records: &[RecordDivergence], strata: &[String]) -> Divergence {
    let mut parts: BTreeMap<String, Vec<RecordDivergence>> = BTreeMap::new();
    for record in records {
        parts.entry(strata[record.record].clone()).or_default().push(*record);
    }
    let strata = parts.into_iter().map(|(name, records)| (name, mean(&records))).collect();
    Divergence { measured: true, nats: mean(records), strata }
}
