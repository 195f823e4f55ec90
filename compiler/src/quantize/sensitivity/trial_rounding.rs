//! One weight rounded to each format in turn, as a measurement tries them.

use samp_abi::Format;
use samp_kernels::{
    encoded::Encoded,
    quantize::{Hessian, RoundingSpec},
};
use samp_passes::transform::Transform;

use crate::{
    certificate::tried_formats,
    quantize::{
        error::QuantizeError,
        forward::LinearStep,
        matrix_rounding::{FactoredHessian, cholesky, round_matrix},
        measure_options::MeasureOptions,
    },
};

/// The weight of a linear, with what its inputs look like.
pub(super) struct TrialRounding<'a> {
    pub linear: &'a LinearStep,
    /// Row-major.
    pub values: &'a [f32],
    pub hessian: &'a Hessian,
    /// Columns that int8 with outliers keeps in f16.
    pub outliers: &'a [u32],
    pub options: &'a MeasureOptions,
}

impl TrialRounding<'_> {
    /// The formats that are tried.
    pub(super) fn formats(&self) -> Vec<Format> {
        fitting(self.options, self.hessian.cols(), !self.outliers.is_empty())
    }

    /// The weight in one of them.
    pub(super) fn to(&self, format: Format) -> Result<Encoded, QuantizeError> {
        // A table keeps its own values for every token: none makes up for another.
        let how = self.options.rounding.transform().filter(|_| !self.linear.tied);
        let factor = &cholesky(self.hessian, format);
        let inputs = FactoredHessian { hessian: self.hessian, factor };
        let rounding = RoundingSpec { outlier_columns: self.outliers, ..RoundingSpec::to(format) };
        round_matrix(self.values, rounding, compensates(format, how.as_ref()), &inputs)
            .map_err(|source| QuantizeError::Encode { tensor: self.linear.key.clone(), source })
    }
}

/// The formats that are tried on a weight of so many columns.
pub(super) fn fitting(options: &MeasureOptions, cols: usize, outliers: bool) -> Vec<Format> {
    let fits = |format: &Format| (cols as u64).is_multiple_of(format.column_multiple());
    tried_formats(&options.formats, outliers).into_iter().filter(fits).collect()
}

/// Rounding that makes up for errors has nothing to do at 16 bits.
fn compensates(format: Format, how: Option<&Transform>) -> Option<&Transform> {
    how.filter(|_| format.code_bits() < 16)
}
