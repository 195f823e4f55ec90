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
    /// Width of the heads whose rows lie in llama.cpp's own order.
    turned: Option<usize>,
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
        WeightRows { rows, cols, runs, turned: None }
    }

    /// The rows as the plan stores them, in any layout.
    pub(super) fn stored(plan: &'a OpenPlan, weight: &CheckpointWeight) -> WeightRows<'a> {
        WeightRows::new(weight, |_, id| plan.tensor(id))
    }

    /// The rows in tensors that [`unpacked`] gave.
    pub(super) fn row_major(weight: &CheckpointWeight, tensors: &'a [Encoded]) -> WeightRows<'a> {
        WeightRows::new(weight, |index, _| tensors[index].view())
    }

    /// The same rows in the order of llama.cpp: it turns neighbouring channels of a head where transformers turns a channel
    /// and the one half a head away, so that the rows of both halves lie in turn.
    pub(super) fn turned(self, head_dim: Option<u64>) -> WeightRows<'a> {
        WeightRows { turned: head_dim.map(|width| width as usize), ..self }
    }

    /// The tensor and the row in it of a row of the weight.
    pub(super) fn locate(&self, row: usize) -> (EncodedRef<'a>, usize) {
        let row = self.turned.map_or(row, |width| source_row(row, width));
        let run = self.runs.iter().find(|run| run.rows.contains(&row)).expect("a row of the weight");
        (run.tensor, run.first + row - run.rows.start)
    }

    /// Decodes a row.
    pub(super) fn decode(&self, row: usize, out: &mut [f32]) {
        let (tensor, row) = self.locate(row);
        decode_rows(tensor, row, out);
    }
}

/// Where transformers has the row that llama.cpp has at `row`, of heads of so many rows.
pub(super) fn source_row(row: usize, head_dim: usize) -> usize {
    let (head, within) = (row / head_dim, row % head_dim);
    head * head_dim + within % 2 * (head_dim / 2) + within / 2
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_both_halves_of_a_head_lie_in_turn() {
        let order: Vec<usize> = (0..8).map(|row| source_row(row, 4)).collect();
        assert_eq!(order, [0, 2, 1, 3, 4, 6, 5, 7]);
    }
}
