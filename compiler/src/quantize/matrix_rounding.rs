//! One matrix rounded under the Hessian of its inputs.

use samp_abi::Format;
use samp_kernels::{
    encoded::Encoded,
    format::{EncodeError, encode},
    quantize::{CholeskyFactor, ColumnOrder, Damping, Hessian, MatrixRef, RoundingSpec, gptq, nearest},
};
use samp_passes::transform::Transform;

/// The Hessian of a linear's inputs with its Cholesky factor.
#[derive(Clone, Copy)]
pub(super) struct FactoredHessian<'a> {
    /// Sums of products of the inputs.
    pub hessian: &'a Hessian,
    /// Its factor, in the order in which columns are rounded.
    pub factor: &'a CholeskyFactor,
}

/// The factor of a Hessian for rounding to `format`: what matters most is rounded first and made up for by the rest; blocks
/// keep their scale.
pub(super) fn cholesky(hessian: &Hessian, format: Format) -> CholeskyFactor {
    CholeskyFactor::new(
        hessian,
        ColumnOrder::Descending { block: format.column_multiple() as usize },
        Damping::default(),
    )
}

/// `values` as `rounding` says, rounded as the transform `how` says under the Hessian of their inputs.
pub(super) fn round_matrix(
    values: &[f32],
    rounding: RoundingSpec<'_>,
    how: Option<&Transform>,
    inputs: &FactoredHessian<'_>,
) -> Result<Encoded, EncodeError> {
    let cols = inputs.hessian.cols();
    let (rows, source) = (values.len() / cols, MatrixRef { cols, values });
    match how {
        Some(Transform::Compensate) => Ok(gptq(&source, rows, inputs.factor, rounding)?.encoded),
        Some(Transform::Refine) => nearest(&source, rows, &inputs.hessian.diagonal(), rounding),
        _ => encode(rounding.format, rows, cols, &source, rounding.outlier_columns),
    }
}
