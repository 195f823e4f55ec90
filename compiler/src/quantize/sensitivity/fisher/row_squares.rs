//! Squares of what single tokens lose, by record.

use std::{collections::BTreeMap, ops::Range};

use rayon::prelude::*;

use super::basis::DRAWS;
use crate::{
    certificate::Divergence,
    quantize::{
        calibration_tokens::CalibrationTokens,
        divergence::{RecordDivergence, by_stratum},
        token_batch::TokenBatch,
    },
};

/// `Σ (g · δ)²` over the tokens of each record.
#[derive(Clone, Debug, Default)]
pub(super) struct RowSquares {
    records: BTreeMap<usize, f64>,
}

impl RowSquares {
    /// Adds a batch: gradients and changes of as many rows of `width`, of which the columns `columns` count.
    pub(super) fn add(
        &mut self,
        batch: &TokenBatch,
        width: usize,
        columns: Range<usize>,
        gradient: &[f32],
        change: &[f32],
    ) {
        let rows = gradient.par_chunks_exact(width).zip(change.par_chunks_exact(width));
        let square = |(g, d): (&[f32], &[f32])| {
            let pairs = g[columns.clone()].iter().zip(&d[columns.clone()]);
            let along: f64 = pairs.map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
            along * along
        };
        let squares: Vec<f64> = rows.map(square).collect();
        let mut squares = squares.iter();
        // The head gives one row less than a record has tokens.
        let less = usize::from(gradient.len() / width < batch.tokens());
        for (&length, &record) in batch.lengths.iter().zip(&batch.records) {
            *self.records.entry(record).or_default() += squares.by_ref().take(length - less).sum::<f64>();
        }
    }

    /// Half of the mean over all predictions, and over those of each stratum.
    pub(super) fn divergence(&self, tokens: &CalibrationTokens) -> Divergence {
        let batches = tokens.for_hessians().iter();
        let lengths = batches.flat_map(|batch| batch.records.iter().zip(&batch.lengths));
        let mut records: Vec<_> = lengths
            .map(|(&record, &length)| RecordDivergence {
                record,
                nats: 0.5 * self.records.get(&record).copied().unwrap_or_default() / DRAWS as f64,
                nll_growth: 0.0,
                tokens: length - 1,
            })
            .collect();
        records.sort_by_key(|record| record.record);
        Divergence { measured: false, ..by_stratum(&records, &tokens.strata) }
    }
}
