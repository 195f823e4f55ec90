//! The Hessian of a layer's output error: half the squared error of all outputs has, with respect to any row of the
//! weights, the second derivative `H = Σ x xᵀ` over calibration tokens (Hassibi and Stork, "Second order derivatives
//! for network pruning", 1992).

use rayon::prelude::*;

use super::matmul::{DEPTH, PanelMut, TALL, WIDE, add_to_panel, packed};

/// Rows of the matrix that one task sums.
const TASK_ROWS: usize = 64;

/// `Σ x xᵀ` in f64. Products of two f32 are exact in f64, and each element is summed in the order of the tokens, so
/// the sum depends neither on threads nor on how the tokens are cut into calls of [`Hessian::add`].
///
/// Takes 8 bytes for each pair of columns: 128 MiB for 4096 columns, 6.6 GB for 28672.
#[derive(Clone, Debug)]
pub struct Hessian {
    cols: usize,
    tokens: u64,
    /// `[stride, stride]`; below the diagonal incomplete.
    sums: Vec<f64>,
}

/// Why inputs cannot be added.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HessianError {
    /// An input is NaN or infinite.
    #[error(
        "token {token}, column {column} of the inputs holds {value}; calibration needs finite activations"
    )]
    NotFinite {
        /// Row of the inputs given.
        token: usize,
        /// Its column in them.
        column: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// Two parts of different width.
    #[error("expected a second moment of {expected} columns, found one of {found}")]
    Columns {
        /// Columns of the sum so far.
        expected: usize,
        /// Columns of what was to be added.
        found: usize,
    },
}

impl Hessian {
    /// The sum over no tokens.
    pub fn new(cols: usize) -> Hessian {
        let stride = stride(cols);
        Hessian { cols, tokens: 0, sums: vec![0.0; stride * stride] }
    }

    /// Adds the tokens of `inputs`, row-major `[tokens, cols]`. To weigh a token by `w`, scale its row by `√w`. Adds
    /// nothing on error. Panics if `inputs` is not whole rows.
    pub fn add(&mut self, inputs: &[f32]) -> Result<(), HessianError> {
        if self.cols == 0 || inputs.is_empty() {
            return Ok(());
        }
        assert!(inputs.len().is_multiple_of(self.cols), "the inputs are not whole rows");
        if let Some(at) = inputs.iter().position(|x| !x.is_finite()) {
            let (token, column) = (at / self.cols, at % self.cols);
            return Err(HessianError::NotFinite { token, column, value: inputs[at] });
        }
        let (cols, stride) = (self.cols, stride(self.cols));
        for inputs in inputs.chunks(DEPTH * cols) {
            let (tall, wide) = (packed::<TALL>(inputs, cols), packed::<WIDE>(inputs, cols));
            let tokens = inputs.len() / cols;
            let tasks = self.sums.par_chunks_mut(TASK_ROWS * stride).enumerate();
            tasks.for_each(|(task, sums)| {
                let first = task * TASK_ROWS;
                let tall = &tall[first / TALL * tokens..][..sums.len() / stride / TALL * tokens];
                // From the diagonal on.
                let wide = wide.chunks(tokens).enumerate().skip(first / WIDE);
                let mut tiles = vec![];
                wide.for_each(|(panel, wide)| {
                    let panel = PanelMut { rows: sums, stride, at: panel * WIDE };
                    add_to_panel(panel, tall, wide, &mut tiles);
                });
            });
        }
        self.tokens += (inputs.len() / self.cols) as u64;
        Ok(())
    }

    /// Adds a sum over other tokens.
    pub fn merge(&mut self, other: &Hessian) -> Result<(), HessianError> {
        if self.cols != other.cols {
            return Err(HessianError::Columns { expected: self.cols, found: other.cols });
        }
        self.sums.par_iter_mut().zip(&other.sums).for_each(|(sum, more)| *sum += more);
        self.tokens += other.tokens;
        Ok(())
    }

    /// How many columns, inputs of the layer, it is of.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Tokens summed so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The element at `(i, j)`. Panics outside of the matrix.
    pub fn at(&self, i: usize, j: usize) -> f64 {
        assert!(i.max(j) < self.cols, "({i}, {j}) lies outside of {} columns", self.cols);
        self.sums[i.min(j) * stride(self.cols) + i.max(j)]
    }

    /// The diagonal: the energy of each column.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.cols).map(|i| self.at(i, i)).collect()
    }

    /// The mean of the diagonal; 0 without columns.
    pub fn mean_diagonal(&self) -> f64 {
        self.diagonal().iter().sum::<f64>() / self.cols.max(1) as f64
    }

    /// Row `i` from the diagonal on.
    pub(super) fn upper(&self, i: usize) -> &[f64] {
        &self.sums[i * stride(self.cols)..][i..self.cols]
    }
}

/// Elements between rows, whole tiles.
pub(super) fn stride(cols: usize) -> usize {
    cols.next_multiple_of(WIDE)
}
