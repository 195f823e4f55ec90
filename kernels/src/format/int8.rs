//! Symmetric int8: codes in −127..=127 times an f32 scale of `absmax / 127` for each row, 1 for a row of zeros.
//!
//! With outliers (LLM.int8(), arXiv 2208.07339, section 3.2) the named columns are kept in f16: their codes are zero
//! and they do not count for the scale.

use std::iter;

use half::f16;
use rayon::prelude::*;
use samp_abi::Component;

use super::{
    arithmetic::{absmax, round_ties_even},
    error::EncodeError,
    input::{Chunk, Input},
};
use crate::encoded::{Encoded, EncodedRef, misplaced_column};

/// The largest code; −128 is not used, so that negation stays exact.
const MAX: f32 = 127.0;

/// Encodes with the columns in `outliers`, which may be none, kept apart.
pub(super) fn encode(input: &Input, outliers: &[u32]) -> Result<Encoded, EncodeError> {
    if let Some(column) = misplaced_column(outliers, input.cols) {
        return Err(EncodeError::OutlierColumns { cols: input.cols, column });
    }
    let mut encoded = input.zeroed(outliers.len());
    let [codes, scales, columns, kept] = encoded.parts_mut([
        Component::Values,
        Component::Scales,
        Component::OutlierColumns,
        Component::OutlierValues,
    ]);
    columns.copy_from_slice(bytemuck::cast_slice(outliers));
    let scales: &mut [f32] = bytemuck::cast_slice_mut(scales);
    let kept: &mut [f16] = bytemuck::cast_slice_mut(kept);
    let kept = kept.chunks_mut((input.chunk_rows() * outliers.len()).max(1));
    let outputs: Vec<_> = codes
        .chunks_mut(input.chunk_values())
        .zip(scales.chunks_mut(input.chunk_rows()))
        .zip(kept.chain(iter::repeat_with(Default::default)))
        .collect();
    input.for_each_chunk(outputs.into_par_iter(), |mut chunk, ((codes, scales), kept)| {
        if !outliers.is_empty() {
            take_outliers(input, &mut chunk, outliers, kept)?;
        }
        encode_rows(input.cols, chunk.values, codes, scales);
        Ok(())
    })?;
    Ok(encoded)
}

/// The scale of values up to `absmax`. It stays a normal number, so that tiny rows keep what precision they can.
pub(crate) fn scale_of(absmax: f32) -> f32 {
    if absmax == 0.0 { 1.0 } else { (absmax / MAX).max(f32::MIN_POSITIVE) }
}

fn encode_rows(cols: usize, values: &[f32], codes: &mut [u8], scales: &mut [f32]) {
    for ((row, codes), scale) in values.chunks(cols).zip(codes.chunks_mut(cols)).zip(scales) {
        let absmax = absmax(row);
        *scale = scale_of(absmax);
        for (code, x) in codes.iter_mut().zip(row) {
            *code = round_ties_even((x / *scale).clamp(-MAX, MAX)) as u8;
        }
    }
}

/// Moves the outlier columns of the chunk to `kept`, zeros stay behind.
fn take_outliers(
    input: &Input,
    chunk: &mut Chunk,
    outliers: &[u32],
    kept: &mut [f16],
) -> Result<(), EncodeError> {
    let rows = chunk.values.chunks_mut(input.cols).zip(kept.chunks_mut(outliers.len()));
    for (row, (values, kept)) in (chunk.first_row..).zip(rows) {
        for (kept, &column) in kept.iter_mut().zip(outliers) {
            let value = std::mem::take(&mut values[column as usize]);
            *kept = f16::from_f32(value);
            if !kept.is_finite() {
                return Err(input.overflow(row, column as usize, value));
            }
        }
    }
    Ok(())
}

pub(super) fn decode_row(tensor: &EncodedRef<'_>, row: usize, out: &mut [f32]) {
    let scale = tensor.part_as::<f32>(Component::Scales)[row];
    tensor.lane::<i8>(Component::Values, row, tensor.cols).map(out, |code| f32::from(code) * scale);
    let columns: &[u32] = tensor.part_as(Component::OutlierColumns);
    let kept: &[f16] = tensor.part_as(Component::OutlierValues);
    for (&column, value) in columns.iter().zip(&kept[row * columns.len()..]) {
        out[column as usize] = value.to_f32();
    }
}
