//! What is summed up of one linear.

use std::ops::Range;

use rayon::prelude::*;
use samp_abi::{Format, Layout, plan::Op};
use samp_kernels::{
    encoded::Encoded,
    format::encode,
    linear::{self, LinearArgs},
    quantize::{Hessian, MatrixRef},
};

use super::{basis::Basis, row_squares::RowSquares};
use crate::quantize::{
    backward::{StepGradient, Tape},
    baseline::{decoded, stored},
    error::QuantizeError,
    forward::{Forward, LinearStep},
    linear_inputs::{AppendedHeads, LinearInputs},
    measure_options::MeasureOptions,
    sensitivity::trial_rounding::fitting,
    token_batch::TokenBatch,
};

/// Sums over the tokens that were shown.
pub(super) struct LinearSums {
    pub linear: LinearStep,
    pub inputs: LinearInputs,
    /// `Σ g²` of each output.
    pub gradients: Vec<f64>,
    /// What the reference rounding loses, by member.
    pub squares: Vec<RowSquares>,
    /// The rows of each member; of all where it is one.
    pub members: Vec<Range<usize>>,
    /// What the reference rounding is off by.
    error: Encoded,
    /// The same, row-major, where tokens are looked up in it.
    table: Vec<f32>,
    /// What the outputs of the current batch are off by.
    change: Vec<f32>,
    heads: Option<AppendedHeads>,
}

/// The format of the reference rounding, to the nearest: the narrowest one.
pub(super) fn reference(options: &MeasureOptions, cols: usize) -> Format {
    let fitting = fitting(options, cols, false);
    fitting.into_iter().min_by_key(|format| format.code_bits()).unwrap_or(Format::F16)
}

/// What rounding to the reference is off by, row-major.
pub(super) fn reference_error(
    options: &MeasureOptions,
    key: &str,
    values: &[f32],
    cols: usize,
) -> Result<Vec<f32>, QuantizeError> {
    let source = MatrixRef { cols, values };
    let encoded = encode(reference(options, cols), values.len() / cols, cols, &source, &[])
        .map_err(|source| QuantizeError::Encode { tensor: key.into(), source })?;
    let mut error = decoded(encoded.view());
    error.par_iter_mut().zip(values).for_each(|(rounded, value)| *rounded -= value);
    Ok(error)
}

impl LinearSums {
    pub(super) fn new(
        forward: &Forward,
        linear: &LinearStep,
        basis: &Basis<'_>,
    ) -> Result<LinearSums, QuantizeError> {
        let (values, cols) = (forward.weights().matrix(linear.weight), forward.weights().cols(linear.weight));
        let rows = values.len() / cols;
        let error = reference_error(basis.options, &linear.key, &values, cols)?;
        let mut members: Vec<Range<usize>> = vec![];
        for member in &linear.members {
            let start = members.last().map_or(0, |range| range.end);
            members.push(start..start + member.rows);
        }
        if members.is_empty() {
            members.push(0..rows);
        }
        let heads = linear.appended.map(|step| AppendedHeads::new(step, forward.kv_heads()));
        Ok(LinearSums {
            inputs: LinearInputs { hessian: Hessian::new(cols), absmax: 0.0, heads: vec![] },
            gradients: vec![0.0; rows],
            squares: vec![RowSquares::default(); members.len()],
            error: stored(&error, cols, Layout::Rows16),
            table: if linear.tied { error } else { vec![] },
            change: vec![],
            linear: linear.clone(),
            members,
            heads,
        })
    }

    /// Adds what one batch and draw showed.
    pub(super) fn add(&mut self, at: &StepGradient<'_>, batch: &TokenBatch) -> Result<(), QuantizeError> {
        let rows = self.gradients.len();
        if at.draw == 0 {
            let key = &self.linear.key;
            self.inputs.hessian.add(at.x).map_err(|source| QuantizeError::inputs(key, source))?;
            self.inputs.absmax = at.x.iter().fold(self.inputs.absmax, |most, x| most.max(x.abs()));
            self.change = vec![0.0; at.gradient.len()];
            let (weight, out) = (self.error.view(), &mut self.change[..]);
            linear::panel(LinearArgs { x: at.x, weight, bias: None, out });
        }
        const COLUMNS: usize = 64;
        self.gradients.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, sums)| {
            for row in at.gradient.chunks_exact(rows) {
                let own = &row[chunk * COLUMNS..][..sums.len()];
                sums.iter_mut().zip(own).for_each(|(sum, &g)| *sum += f64::from(g) * f64::from(g));
            }
        });
        for (squares, member) in self.squares.iter_mut().zip(&self.members) {
            squares.add(batch, rows, member.clone(), at.gradient, &self.change);
        }
        Ok(())
    }

    /// Adds what a tied head's table changes in the embedding of tokens.
    pub(super) fn add_embedded(&mut self, gradient: &[f32], batch: &TokenBatch) {
        if self.linear.tied {
            let cols = self.inputs.hessian.cols();
            let change = looked_up(&self.table, cols, batch);
            self.squares[0].add(batch, cols, 0..cols, gradient, &change);
        }
    }

    /// Looks at the keys and values that were appended before the linear.
    pub(super) fn look_at_heads(&mut self, forward: &Forward, tape: &Tape) {
        let Some(heads) = &mut self.heads else { return };
        if let Op::RopeAppend { qkv, out, .. } = forward.program().steps[heads.step()].op {
            let rows = tape.get(self.linear.x).len() / self.inputs.hessian.cols();
            let width = |id| tape.get(id).len() / rows.max(1);
            heads.look(tape.get(qkv), [width(qkv), width(out)]);
            self.inputs.heads = heads.ranges().to_vec();
        }
    }
}

/// The rows of a table for the tokens of a batch.
pub(super) fn looked_up(table: &[f32], cols: usize, batch: &TokenBatch) -> Vec<f32> {
    batch.token_ids.iter().flat_map(|&token| &table[token as usize * cols..][..cols]).copied().collect()
}
