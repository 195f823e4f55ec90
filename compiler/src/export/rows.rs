//! Rows of an exported weight, wherever they lie in the plan.

use std::ops::Range;

use samp_abi::plan::TensorId;
use samp_kernels::{
    encoded::{Encoded, EncodedRef},
    format::decode_rows,
    layout::unpack,
};
use samp_runtime::OpenPlan;

use super::weight::CheckpointWeight;

/// A run of rows of one tensor.
struct Run<'a> {
    tensor: EncodedRef<'a>,
    /// The first row in the tensor.
    first: usize,
    /// Which rows of the weight they are.
    rows: Range<usize>,
}

/// The rows of a matrix of the checkpoint.
pub(super) struct WeightRows<'a> {
    pub(super) rows: usize,
    pub(super) cols: usize,
    runs: Vec<Run<'a>>,
}

impl<'a> WeightRows<'a> {
    /// The rows of a weight, its tensors by `tensor`. Of a vector each value is a row if it is one column of its tensor's
    /// only row; those are read by [`vector`].
    fn new(weight: &CheckpointWeight, mut tensor: impl FnMut(usize, TensorId) -> EncodedRef<'a>) -> Self {
        let [rows, cols] = weight.matrix().expect("a matrix").map(|extent| extent as usize);
        let mut at = 0;
        let runs = weight.pieces.iter().enumerate().map(|(index, piece)| {
            let count = piece.len as usize / cols;
            let rows = at..at + count;
            at += count;
            Run { tensor: tensor(index, piece.tensor), first: piece.start as usize / cols, rows }
        });
        let runs = runs.collect();
        WeightRows { rows, cols, runs }
    }

    /// The rows as the plan stores them, in any layout.
    pub(super) fn stored(plan: &'a OpenPlan, weight: &CheckpointWeight) -> WeightRows<'a> {
        WeightRows::new(weight, |_, id| plan.tensor(id))
    }

    /// The rows in tensors that [`unpacked`] gave.
    pub(super) fn row_major(weight: &CheckpointWeight, tensors: &'a [Encoded]) -> WeightRows<'a> {
        WeightRows::new(weight, |index, _| tensors[index].view())
    }

    /// The tensor and the row in it of a row of the weight.
    pub(super) fn locate(&self, row: usize) -> (EncodedRef<'a>, usize) {
        let run = self.runs.iter().find(|run| run.rows.contains(&row)).expect("a row of the weight");
        (run.tensor, run.first + row - run.rows.start)
    }

    /// Decodes a row.
    pub(super) fn decode(&self, row: usize, out: &mut [f32]) {
        let (tensor, row) = self.locate(row);
        decode_rows(tensor, row, out);
    }
}

/// The tensors of a weight's pieces in row-major.
pub(super) fn unpacked(plan: &OpenPlan, weight: &CheckpointWeight) -> Vec<Encoded> {
    weight.pieces.iter().map(|piece| unpack(plan.tensor(piece.tensor))).collect()
}

/// The values of a vector.
pub(super) fn vector(plan: &OpenPlan, weight: &CheckpointWeight) -> Vec<f32> {
    let mut values = Vec::with_capacity(weight.elements() as usize);
    for piece in &weight.pieces {
        let tensor = plan.tensor(piece.tensor);
        let mut all = vec![0.0; tensor.rows * tensor.cols];
        decode_rows(tensor, 0, &mut all);
        values.extend_from_slice(&all[piece.start as usize..][..piece.len as usize]);
    }
    values
}
