//! Moving a weight to where it answers other inputs than it was trained on.
//!
//! Once weights before a linear are rounded, its inputs `x` are not the original ones, and what its outputs are added to is
//! not either. With `H = Σ x xᵀ` and outputs `d` that would make the sum whole, `(Σ d xᵀ + W Λ) (H + Λ)⁻¹` is the ridge
//! regression of `d` on `x` towards `W`, `Λ` being the damping (asymmetric calibration as in GPTAQ, Li et al., arXiv
//! 2504.02692, but before rounding instead of within it, and with the error of the residual stream as QEP propagates it,
//! Arai and Ichikawa, arXiv 2504.09629). Where the inputs alone have changed, `d = W x'`, so that the sum over the inputs
//! serves any `W`.

use rayon::prelude::*;
use samp_abi::{Format, Layout};

use super::hessian::stride;
use super::matmul::{DEPTH, PanelMut, TALL, WIDE, add_to_panel, packed};
use super::{CholeskyFactor, Damped, MatrixRef};
use crate::format::encode;
use crate::layout;
use crate::linear::{self, LinearArgs};

/// Rows of the matrix that one task sums.
const TASK_ROWS: usize = 64;

/// `Σ d xᵀ` in f64, `[rows, cols]`, summed in the order of the tokens.
#[derive(Clone, Debug)]
pub struct CrossHessian {
    rows: usize,
    cols: usize,
    /// Whole tiles: `[rows to a multiple of 8, stride]`.
    sums: Vec<f64>,
}

impl CrossHessian {
    /// The sum over no tokens.
    pub fn new(rows: usize, cols: usize) -> CrossHessian {
        CrossHessian { rows, cols, sums: vec![0.0; rows.next_multiple_of(TALL) * stride(cols)] }
    }

    /// Adds tokens: `d` is `[tokens, rows]`, `x` `[tokens, cols]`. Panics if they have not as many.
    pub fn add(&mut self, d: &[f32], x: &[f32]) {
        assert_eq!(d.len() * self.cols, x.len() * self.rows, "both are of the same tokens");
        let (rows, cols, stride) = (self.rows, self.cols, stride(self.cols));
        for (d, x) in d.chunks(DEPTH * rows).zip(x.chunks(DEPTH * cols)) {
            let (tall, wide) = (packed::<TALL>(d, rows), packed::<WIDE>(x, cols));
            let tokens = x.len() / cols;
            let tall = tall.par_chunks(TASK_ROWS / TALL * tokens);
            self.sums.par_chunks_mut(TASK_ROWS * stride).zip(tall).for_each(|(sums, tall)| {
                let mut tiles = vec![];
                for (at, wide) in (0..).step_by(WIDE).zip(wide.chunks(tokens)) {
                    let panel = PanelMut { rows: sums, stride, at };
                    add_to_panel(panel, tall, wide, &mut tiles);
                }
            });
        }
    }

    /// `(Σ d xᵀ + weights · Λ) (H + Λ)⁻¹`, where `d` are the outputs wanted and `factor` is that of `H + Λ`; the weights as
    /// they are where no input differs from zero. Panics if the widths differ.
    pub fn regress(&self, weights: &[f32], factor: &CholeskyFactor) -> Vec<f32> {
        assert_eq!(weights.len(), self.rows * self.cols, "weights are [rows, cols]");
        if factor.damped() == Damped::NoInput {
            return weights.to_vec();
        }
        let mut damping = vec![0.0; self.cols];
        factor.perm.iter().zip(&factor.damping).for_each(|(&column, &added)| damping[column] = added);
        let mut moved = weights.to_vec();
        let rows = moved.par_chunks_mut(self.cols).zip(self.sums.par_chunks(stride(self.cols)));
        rows.for_each(|(weights, sums)| {
            let terms = sums.iter().zip(weights.iter().zip(&damping));
            let sums: Vec<f64> = terms.map(|(sum, (&w, damping))| sum + f64::from(w) * damping).collect();
            weights.iter_mut().zip(factor.solve(&sums)).for_each(|(w, x)| *w = x as f32);
        });
        moved
    }

    /// `weights + weights · Σ d xᵀ (H + Λ)⁻¹`, where `d` is what the inputs are short of. Panics if the widths
    /// differ.
    pub fn correct_inputs(&self, weights: &[f32], factor: &CholeskyFactor) -> Vec<f32> {
        let cols = self.cols;
        assert!(self.rows == cols && weights.len().is_multiple_of(cols), "d and x are both inputs");
        // Row `i` says how much of each column column `i` is to be added to.
        let mut change = vec![0.0f32; cols * cols];
        let solved: Vec<Vec<f64>> =
            self.sums.par_chunks(stride(cols)).take(cols).map(|sums| factor.solve(&sums[..cols])).collect();
        for (i, solved) in solved.iter().enumerate() {
            solved.iter().enumerate().for_each(|(j, &c)| change[j * cols + i] = c as f32);
        }
        let change = encode(Format::F32, cols, cols, &MatrixRef { cols, values: &change }, &[]);
        let change = layout::pack(change.expect("f32 takes any shape and value").view(), Layout::Rows16);
        let mut corrected = vec![0.0; weights.len()];
        linear::panel(LinearArgs { x: weights, weight: change.view(), bias: None, out: &mut corrected });
        corrected.iter_mut().zip(weights).for_each(|(c, w)| *c += w);
        corrected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::{ColumnOrder, Damping, Hessian};

    /// Inputs that were turned and stretched are answered as before.
    #[test]
    fn a_linear_change_of_the_inputs_is_undone() {
        let (rows, cols, tokens) = (11, 20, 700);
        let mut state = 1u64;
        let mut draw = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / 8388608.0 - 1.0
        };
        let weights: Vec<f32> = (0..rows * cols).map(|_| draw()).collect();
        let original: Vec<f32> = (0..tokens * cols).map(|_| draw()).collect();
        let changed: Vec<f32> = (original.chunks(cols))
            .flat_map(|x| (0..cols).map(|c| 1.5 * x[c] + 0.25 * x[(c + 1) % cols]).collect::<Vec<_>>())
            .collect();
        let outputs = |weights: &[f32], x: &[f32]| -> Vec<f32> {
            let dot = |w: &[f32], x: &[f32]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
            x.chunks(cols).flat_map(|x| weights.chunks(cols).map(move |w| dot(w, x))).collect()
        };
        let wanted = outputs(&weights, &original);
        let short = |found: &[f32]| -> Vec<f32> { wanted.iter().zip(found).map(|(w, f)| w - f).collect() };
        let (mut h, mut cross) = (Hessian::new(cols), CrossHessian::new(rows, cols));
        h.add(&changed).unwrap();
        cross.add(&wanted, &changed);
        let mut of_inputs = CrossHessian::new(cols, cols);
        let missing: Vec<f32> = original.iter().zip(&changed).map(|(o, c)| o - c).collect();
        of_inputs.add(&missing, &changed);
        for order in [ColumnOrder::Natural, ColumnOrder::Descending { block: 1 }] {
            let factor = CholeskyFactor::new(&h, order, Damping { mean: 1e-9, diagonal: 0.0 });
            let left = short(&outputs(&cross.regress(&weights, &factor), &changed));
            assert!(left.iter().all(|d| d.abs() < 1e-4), "{left:?}");
            let left = short(&outputs(&of_inputs.correct_inputs(&weights, &factor), &changed));
            assert!(left.iter().all(|d| d.abs() < 1e-4), "{left:?}");
        }
    }
}
