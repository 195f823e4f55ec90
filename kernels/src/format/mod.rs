//! Number formats: encoding rows of f32 into codes and scales, and back.
//!
//! One file for each family; [`encode`] and [`decode_rows`] pick it. Plain loops, portable: a GPU or SIMD kernel that
//! decodes weights is checked against these.

mod bit_planes;
mod blockwise4;
mod double_quant;
mod float;
mod fp8;
mod input;
mod int8;
mod integers;

pub use blockwise4::{FP4, NF4, table};
pub use double_quant::ABSMAX_MAP;
pub use fp8::{FP8, FP8_MAX, f32_to_fp8, fp8_to_f32};
pub use integers::INT4;

pub(crate) use bit_planes::{code_in_run, pack};
pub(crate) use blockwise4::{Coding, coding_of};
pub(crate) use double_quant::{absmax_code, absmax_of};
pub(crate) use fp8::scale_of as fp8_scale;
pub(crate) use int8::scale_of as int8_scale;
pub(crate) use integers::stored_scale as group_scale;

use crate::encoded::{Encoded, EncodedRef};
use input::Input;
use samp_abi::Format;

/// Rows of a tensor as f32, produced on demand, so that a large tensor is never whole in memory as f32.
pub trait RowSource: Sync {
    /// Writes rows `first..` into `out`, which is a whole number of rows. Called from several threads, and more than
    /// once for a row where a format needs two passes.
    fn read(&self, first: usize, out: &mut [f32]);
}

/// Why a tensor cannot be encoded. Of several faults the first in row-major order is reported.
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
    /// A finite value is too large for a 16-bit float that the format stores it in, or its group's scale.
    #[error(
        "row {row}, column {col} holds {value}, beyond the range of {format}; saturating it would change the model: \
         choose a format with f32 scales or wider values"
    )]
    Overflow {
        /// The format.
        format: Format,
        /// Where.
        row: usize,
        /// Where.
        col: usize,
        /// The value.
        value: f32,
    },
    /// The sum of all block absmax values is not a finite f32.
    #[error("the mean of the block maxima, which {format} stores, overflows f32: the values are too large")]
    MeanOverflow {
        /// The format.
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

/// Encodes a `[rows, cols]` tensor, row-major, in parallel over rows; the result does not depend on the number of
/// threads. `outlier_columns` (ascending) only counts for int8 with outliers.
///
/// Takes the memory of the result plus about 256 KiB, or two rows, for each thread; nf4 and fp4 an eighth more.
/// `fp8_e4m3_tensor` reads the source twice, all others once.
pub fn encode(
    format: Format,
    rows: usize,
    cols: usize,
    source: &dyn RowSource,
    outlier_columns: &[u32],
) -> Result<Encoded, EncodeError> {
    let multiple = format.column_multiple() as usize;
    if !cols.is_multiple_of(multiple) {
        return Err(EncodeError::Columns { format, multiple, cols });
    }
    let input = Input { format, rows, cols, source };
    if rows == 0 || cols == 0 {
        return Ok(input.zeroed(0));
    }
    match format {
        Format::F32 | Format::F16 | Format::Bf16 => float::encode(&input),
        Format::Fp8E4m3(axis) => fp8::encode(&input, axis),
        Format::Int8 { outliers: true } => int8::encode(&input, outlier_columns),
        Format::Int8 { outliers: false } => int8::encode(&input, &[]),
        Format::Int4 { .. } | Format::Int5 { .. } | Format::Int6 { .. } => integers::encode(&input),
        Format::Nf4 | Format::Fp4 => blockwise4::encode(&input),
    }
}

/// Decodes rows `first..` of a tensor in any layout into `out`, which is a whole number of rows. Runs on the calling
/// thread. Panics where the rows or the arrays do not fit; see [`EncodedRef::check`].
pub fn decode_rows(tensor: EncodedRef<'_>, first: usize, out: &mut [f32]) {
    if tensor.cols == 0 {
        return;
    }
    for (row, out) in (first..).zip(out.chunks_exact_mut(tensor.cols)) {
        match tensor.format {
            Format::F32 | Format::F16 | Format::Bf16 => float::decode_row(&tensor, row, out),
            Format::Fp8E4m3(axis) => fp8::decode_row(&tensor, axis, row, out),
            Format::Int8 { .. } => int8::decode_row(&tensor, row, out),
            Format::Int4 { .. } | Format::Int5 { .. } | Format::Int6 { .. } => {
                integers::decode_row(&tensor, row, out);
            }
            Format::Nf4 | Format::Fp4 => blockwise4::decode_row(&tensor, row, out),
        }
    }
}

/// The largest magnitude of finite values; 0 of none.
fn absmax(values: &[f32]) -> f32 {
    // As integers, magnitudes order like the floats they are and the maximum vectorises.
    f32::from_bits(values.iter().fold(0, |max, x| max.max(x.to_bits() & 0x7fff_ffff)))
}

/// `x` rounded to the nearest integer, ties to even, for |x| < 2^22.
#[inline(always)]
pub(crate) fn round_ties_even(x: f32) -> i32 {
    // 1.5·2^23: there the last place of an f32 is one, so the addition rounds. A call to libm does not vectorise.
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i32
}
