//! Why a tensor cannot be encoded.

use samp_abi::Format;

/// Why a tensor cannot be encoded. Of several faults the first in row-major order is reported.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// The width does not fit the format's blocks.
    #[error("{format} needs a multiple of {multiple} columns, found {cols}")]
    Columns {
        /// The format asked for.
        format: Format,
        /// What it needs.
        multiple: usize,
        /// What was given.
        cols: usize,
    },
    /// A value is NaN or infinite.
    #[error("row {row}, column {col} holds {value}, which {format} cannot represent")]
    NotFinite {
        /// The format asked for.
        format: Format,
        /// The row that it lies in.
        row: usize,
        /// The column that it lies in.
        col: usize,
        /// The value that cannot be held.
        value: f32,
    },
    /// A finite value is too large for a 16-bit float that the format stores it in, or its group's scale.
    #[error(
        "row {row}, column {col} holds {value}, beyond the range of {format}; saturating it would change the model: \
         choose a format with f32 scales or wider values"
    )]
    Overflow {
        /// The format asked for.
        format: Format,
        /// The row that it lies in.
        row: usize,
        /// The column that it lies in.
        col: usize,
        /// The value that cannot be held.
        value: f32,
    },
    /// All of a row would become zero, though it is none.
    #[error(
        "row {row} has values up to {largest:e}, all of which {format} would round to zero: choose a format with f32 scales"
    )]
    Underflow {
        /// The format asked for.
        format: Format,
        /// The row.
        row: usize,
        /// The largest magnitude in it.
        largest: f32,
    },
    /// The sum of all block absmax values is not a finite f32.
    #[error("the mean of the block maxima, which {format} stores, overflows f32: the values are too large")]
    MeanOverflow {
        /// The format asked for.
        format: Format,
    },
    /// The outlier columns are not ascending, or not columns of the tensor.
    #[error("outlier columns must ascend and be less than {cols}; column {column} does not")]
    OutlierColumns {
        /// Columns of the tensor.
        cols: usize,
        /// The first one at fault.
        column: u32,
    },
}
