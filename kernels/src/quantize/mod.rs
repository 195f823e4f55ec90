//! Rounding weights with knowledge of the inputs they will meet.
//!
//! [`Hessian`] gathers `H = Σ x xᵀ` over the inputs of a linear layer; with it the error of rounding `W` to `Ŵ` is
//! `‖(W − Ŵ) X‖² = tr((W − Ŵ) H (W − Ŵ)ᵀ)` ([`output_error`]). [`nearest`] rounds each weight by itself, with the best
//! scales of a [`ScaleSearch`]; [`gptq`] also lets later columns make up for the errors of earlier ones, with the help of a
//! [`CholeskyFactor`] of `H`. [`HadamardRotation`] spreads outliers before either. All results are `Encoded` tensors as [`crate::format`]
//! makes and decodes them.
//!
//! Pure arithmetic: the same input gives the same bits on any number of threads and at any vector width.

mod cholesky;
mod codebook;
mod columns;
mod cross_hessian;
mod gptq;
mod hadamard;
mod hessian;
mod matmul;
mod output_error;
mod round;
mod scale_grid;
mod scale_search;
mod store;

pub use cholesky::{CholeskyFactor, ColumnOrder, Damped, Damping};
pub use cross_hessian::CrossHessian;
pub use hadamard::HadamardRotation;
pub use hessian::{Hessian, HessianError};
pub use output_error::{output_energies, output_energy, output_error, output_errors};
pub use round::{RoundedTensor, gptq, nearest};
pub use scale_grid::ScaleSearch;

use crate::format::RowSource;
use samp_abi::Format;

/// What to round to, and how to find the scales.
#[derive(Clone, Copy, Debug)]
pub struct RoundingSpec<'a> {
    /// The format. Plain 16- and 32-bit floats have no scales and a step too small to make up for; they are encoded as
    /// by [`crate::format::encode`].
    pub format: Format,
    /// Ascending columns that int8 with outliers keeps in f16; ignored by other formats.
    pub outlier_columns: &'a [u32],
    /// Which scales are tried.
    pub search: ScaleSearch,
}

impl RoundingSpec<'_> {
    /// Rounding to `format` with the usual search and no outlier columns.
    pub fn to(format: Format) -> RoundingSpec<'static> {
        RoundingSpec { format, outlier_columns: &[], search: ScaleSearch::default() }
    }
}

/// A row-major matrix in memory as a source of rows.
#[derive(Clone, Copy, Debug)]
pub struct MatrixRef<'a> {
    /// How many values a row has.
    pub cols: usize,
    /// Whole rows, one after another.
    pub values: &'a [f32],
}

impl RowSource for MatrixRef<'_> {
    fn read(&self, first: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.values[first * self.cols..][..out.len()]);
    }
}
