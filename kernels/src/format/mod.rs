//! Number formats: encoding rows of f32 into codes and scales, and back.
//!
//! One file for each family; [`encode`] and [`decode_rows`] pick it. Plain loops, portable: a GPU or SIMD kernel that
//! decodes weights is checked against these.

mod arithmetic;
mod bit_planes;
mod blockwise4;
mod double_quant;
mod error;
mod float;
mod fp8;
mod input;
mod int8;
mod integers;

pub use blockwise4::{FP4, NF4, table};
pub use double_quant::ABSMAX_MAP;
pub use error::EncodeError;
pub use float::widen_bf16;
pub use fp8::{FP8, FP8_MAX, f32_to_fp8, fp8_to_f32};
pub use input::RowSource;
pub use integers::INT4;

pub(crate) use arithmetic::round_ties_even;
pub(crate) use bit_planes::{codes_in_run, pack};
pub(crate) use blockwise4::{Coding, coding_of};
pub(crate) use double_quant::{absmax_code, absmax_of};
pub(crate) use fp8::scale_of as fp8_scale;
pub(crate) use int8::scale_of as int8_scale;
pub(crate) use integers::stored_scale as group_scale;

use crate::encoded::{Encoded, EncodedRef};
use input::Input;
use samp_abi::Format;

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
    let input = Input::new(format, rows, cols, source);
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
