//! Integers packed into words of 32 bits, from the lowest bit on: those of a row one after another, across words; zero points
//! in the same way down the rows, a column for each group.

use rayon::prelude::*;
use safetensors::Dtype;
use samp_abi::Component;
use samp_runtime::OpenPlan;

use super::super::{
    codes::{shifted_codes, zero_point},
    encoding::{OutputBytes, StoredPart},
    rows::{WeightRows, unpacked},
    weight::CheckpointWeight,
};
use crate::emit::EmitError;

const WORD: u64 = 32;

pub(super) fn parts(
    weight: &CheckpointWeight,
    (bits, group, zero_points): (u64, Option<u64>, bool),
) -> Vec<StoredPart> {
    let [rows, cols] = weight.matrix().expect("a linear is a matrix");
    let (groups, scales) = match group {
        Some(size) => (cols / size, Dtype::F16),
        None => (1, Dtype::F32),
    };
    let words = |count: u64| (count * bits).div_ceil(WORD);
    let mut parts = vec![
        StoredPart::of(weight, "weight_packed", Dtype::I32, &[rows, words(cols)]),
        StoredPart::of(weight, "weight_scale", scales, &[rows, groups]),
        StoredPart::of(weight, "weight_shape", Dtype::I64, &[2]),
    ];
    if zero_points {
        parts.push(StoredPart::of(weight, "weight_zero_point", Dtype::I32, &[words(rows), groups]));
    }
    parts
}

/// Rows that are packed at once.
const ROWS: usize = 1024;

pub(super) fn write(
    plan: &OpenPlan,
    weight: &CheckpointWeight,
    bits: u64,
    out: &mut OutputBytes,
) -> Result<(), EmitError> {
    let tensors = unpacked(plan, weight);
    let rows = WeightRows::row_major(weight, &tensors);
    for first in (0..rows.rows).step_by(ROWS) {
        let packed = (first..rows.rows.min(first + ROWS)).into_par_iter().map(|row| {
            let (tensor, at) = rows.locate(row);
            let mut codes = vec![0; rows.cols];
            shifted_codes(tensor, at, &mut codes);
            words(codes.into_iter(), bits)
        });
        packed.collect::<Vec<_>>().iter().try_for_each(|row| out.put(row))?;
    }
    for row in 0..rows.rows {
        let (tensor, at) = rows.locate(row);
        let scales = tensor.part(Component::Scales);
        // A scale for each row, or for each group of one.
        let bytes = scales.len() / tensor.rows;
        out.put(&scales[at * bytes..][..bytes])?;
    }
    for extent in &weight.shape {
        out.put(&extent.to_le_bytes())?;
    }
    write_zero_points(&rows, bits, out)
}

fn write_zero_points(rows: &WeightRows<'_>, bits: u64, out: &mut OutputBytes) -> Result<(), EmitError> {
    let zero = |row: usize, group: usize| {
        let (tensor, at) = rows.locate(row);
        zero_point(tensor, at, group)
    };
    let size = rows.locate(0).0.format.group().map_or(rows.cols, |group| group.size() as usize);
    let columns: Vec<Vec<u8>> = (0..rows.cols / size)
        .map(|group| words((0..rows.rows).map_while(|row| zero(row, group)), bits))
        .collect();
    for word in 0..columns[0].len() / 4 {
        columns.iter().try_for_each(|column| out.put(&column[4 * word..][..4]))?;
    }
    Ok(())
}

/// Codes one after another from the lowest bit of little-endian words on, the last word filled up with zeros.
fn words(codes: impl Iterator<Item = u8>, bits: u64) -> Vec<u8> {
    let mut bytes = vec![];
    let (mut held, mut count) = (0u64, 0);
    for code in codes {
        held |= u64::from(code) << count;
        count += bits;
        if count >= WORD {
            bytes.extend((held as u32).to_le_bytes());
            held >>= WORD;
            count -= WORD;
        }
    }
    if count > 0 {
        bytes.extend((held as u32).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_run_on_across_words() {
        let codes = [1, 2, 3, 4, 5, 6, 7];
        let packed = words(codes.into_iter(), 5);
        let expected: u64 = codes.iter().enumerate().map(|(at, &code)| u64::from(code) << (5 * at)).sum();
        assert_eq!(packed, expected.to_le_bytes());
        assert_eq!(words([15, 1].into_iter(), 4), [0x1f, 0, 0, 0]);
        assert!(words([].into_iter(), 4).is_empty());
    }
}
