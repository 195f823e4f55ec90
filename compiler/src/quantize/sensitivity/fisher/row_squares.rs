//! Squares of what single tokens lose, by record.

use std::{collections::BTreeMap, ops::Range};

use rayon::prelude::*;

use super::basis::{Basis, DRAWS};
use crate::{certificate::Divergence, quantize::token_batch::TokenBatch};

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
    pub(super) fn divergence(&self, basis: &Basis<'_>) -> Divergence {
        let mut strata: BTreeMap<String, [f64; 2]> = BTreeMap::new();
        for batch in basis.tokens.for_hessians() {
            for (&length, &record) in batch.lengths.iter().zip(&batch.records) {
                let sums = strata.entry(basis.tokens.strata[record].clone()).or_default();
                sums[0] += self.records.get(&record).copied().unwrap_or_default();
                sums[1] += (length - 1) as f64;
            }
        }
        let draws = DRAWS as f64;
        let mean = |[squares, predictions]: [f64; 2]| 0.5 * squares / (draws * predictions.max(1.0));
        let all = self.records.values().sum::<f64>() * 0.5 / basis.predictions.max(1.0);
        let strata = strata.into_iter().map(|(name, sums)| (name, mean(sums))).collect();
        Divergence { measured: false, nats: all, strata }
    }
}
