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
use crate::{
    encoded::{Encoded, EncodedRef, misplaced_column},
    simd::{Job, Lanes, Width, run},
};

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
        run(Width::detect(), EncodeRows { cols: input.cols, values: chunk.values, codes, scales });
        Ok(())
    })?;
    Ok(encoded)
}

/// The scale of values up to `absmax`. It stays a normal number, so that tiny rows keep what precision they can.
#[inline(always)]
pub(crate) fn scale_of(absmax: f32) -> f32 {
    if absmax == 0.0 { 1.0 } else { (absmax / MAX).max(f32::MIN_POSITIVE) }
}

/// Encodes rows in plain loops, which are compiled for each width.
struct EncodeRows<'a> {
    cols: usize,
    values: &'a [f32],
    codes: &'a mut [u8],
    scales: &'a mut [f32],
}

impl Job for EncodeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let rows = self.values.chunks(self.cols).zip(self.codes.chunks_mut(self.cols));
        for ((row, codes), scale) in rows.zip(self.scales) {
            let step = scale_of(absmax(row));
            *scale = step;
            for (code, x) in codes.iter_mut().zip(row) {
                *code = round_ties_even((x / step).clamp(-MAX, MAX)) as u8;
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    #[test]
    fn every_width_gives_the_codes_of_the_definition() {
        const COLS: usize = 75;
        let mut random = SplitMix64::new(11);
        let mut values = vec![0.0; COLS];
        values.extend([-0.0, 1e-42, -1e-38, 0.5, 1.5, 2.5, -2.5, 126.5, 127.0].iter().cycle().take(2 * COLS));
        values.extend((0..40 * COLS).map(|_| f32::from_bits(random.bits() as u32 & 0xbfff_ffff)));
        let rows = values.len() / COLS;
        let code = |x: f32, scale: f32| (x / scale).clamp(-MAX, MAX).round_ties_even() as i8 as u8;
        for width in Width::ALL.into_iter().filter(|width| width.available()) {
            let (mut codes, mut scales) = (vec![0; values.len()], vec![0.0; rows]);
            run(width, EncodeRows { cols: COLS, values: &values, codes: &mut codes, scales: &mut scales });
            for (index, (found, x)) in codes.iter().zip(&values).enumerate() {
                assert_eq!(*found, code(*x, scales[index / COLS]), "{width:?}: {x}");
            }
        }
    }
}
