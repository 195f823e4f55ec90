//! Number formats: encoding rows of f32 into codes and scales, and back.

use crate::encoded::{Encoded, EncodedRef};
use samp_abi::Format;

/// Rows of a tensor as f32, produced on demand, so that a large tensor is never whole in memory as f32.
pub trait RowSource: Sync {
    /// Writes rows `first..` into `out`, which is a whole number of rows.
    fn read(&self, first: usize, out: &mut [f32]);
}

/// Why a tensor cannot be encoded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// The width does not fit the format's blocks.
    #[error("{format} needs a multiple of {multiple} columns, found {cols}")]
    Columns {
        /// The format.
        format: Format,
        /// What it needs.
        multiple: usize,
        /// What was given.
        cols: usize,
    },
    /// A value is NaN or infinite.
    #[error("row {row}, column {col} holds {value}, which {format} cannot represent")]
    NotFinite {
        /// The format.
        format: Format,
        /// Where.
        row: usize,
        /// Where.
        col: usize,
        /// The value.
        value: f32,
    },
}

/// Encodes a `[rows, cols]` tensor, row-major, in parallel over rows; the result does not depend on the number of
/// threads. `outlier_columns` (ascending) only counts for int8 with outliers.
pub fn encode(
    _format: Format,
    _rows: usize,
    _cols: usize,
    _source: &dyn RowSource,
    _outlier_columns: &[u32],
) -> Result<Encoded, EncodeError> {
    todo!("formats")
}

/// Decodes rows `first..` of a tensor in any layout into `out`, which is a whole number of rows.
pub fn decode_rows(_tensor: EncodedRef<'_>, _first: usize, _out: &mut [f32]) {
    todo!("formats")
}
