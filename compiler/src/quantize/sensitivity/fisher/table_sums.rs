//! What is summed up of a table that tokens are looked up in.

use samp_kernels::{format::encode, quantize::MatrixRef};

use super::{
    basis::Basis,
    linear_sums::{looked_up, reference_error},
    row_squares::RowSquares,
};
use crate::{
    certificate::{Sensitivity, WeightProfile},
    quantize::{
        error::QuantizeError,
        forward::Forward,
        sensitivity::{TableWeight, trial_rounding::fitting},
        token_batch::TokenBatch,
    },
};

/// Sums over the tokens that were shown.
pub(super) struct TableSums<'a> {
    table: &'a TableWeight,
    cols: usize,
    /// What the reference rounding is off by, row-major.
    error: Vec<f32>,
    squares: RowSquares,
}

impl<'a> TableSums<'a> {
    pub(super) fn new(
        forward: &Forward,
        table: &'a TableWeight,
        basis: &Basis<'_>,
    ) -> Result<TableSums<'a>, QuantizeError> {
        let (values, cols) = (forward.weights().matrix(table.id), forward.weights().cols(table.id));
        let error = reference_error(basis.options, &table.key, &values, cols)?;
        Ok(TableSums { table, cols, error, squares: RowSquares::default() })
    }

    /// Adds the gradient by the embedded tokens of a batch.
    pub(super) fn add(&mut self, gradient: &[f32], batch: &TokenBatch) {
        let change = looked_up(&self.error, self.cols, batch);
        self.squares.add(batch, self.cols, 0..self.cols, gradient, &change);
    }

    /// What each format costs: as much more than the reference as its error is larger.
    pub(super) fn profile(
        &self,
        forward: &Forward,
        basis: &Basis<'_>,
    ) -> Result<WeightProfile, QuantizeError> {
        let values = forward.weights().matrix(self.table.id);
        let energy = |values: &[f32]| values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
        let (all, reference) = (energy(&values).max(f64::MIN_POSITIVE), energy(&self.error));
        let (divergence, cols) = (self.squares.divergence(basis.tokens), self.cols);
        let (rows, source) = (values.len() / cols, MatrixRef { cols, values: &values });
        let mut formats = vec![];
        for format in fitting(basis.options, cols, false) {
            let encoded = encode(format, rows, cols, &source, &[])
                .map_err(|source| QuantizeError::Encode { tensor: self.table.key.clone(), source })?;
            let output_error = crate::quantize::sensitivity::probe::relative_error(&values, &encoded);
            let factor = if reference > 0.0 { output_error * all / reference } else { 0.0 };
            formats.push(Sensitivity { format, output_error, divergence: divergence.scaled(factor) });
        }
        let (rows, cols) = (rows as u64, cols as u64);
        Ok(WeightProfile { key: self.table.key.clone(), rows, cols, inputs: None, formats, parts: vec![] })
    }
}
