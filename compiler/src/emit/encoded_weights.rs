//! Where emission finds weights that it need not encode itself.

use std::io;

use samp_kernels::encoded::Encoded;

use crate::lower::TensorSpec;

/// Weights that were encoded beforehand, such as those that calibration rounded.
pub trait EncodedWeights: Sync {
    /// The weight of `spec` in its format, row-major. Bytes that are no longer what was encoded are an error.
    fn encoded(&self, spec: &TensorSpec) -> io::Result<Encoded>;
}
