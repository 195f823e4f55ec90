//! Codes of integer formats, one to a byte.

use samp_abi::{Component, Format};
use samp_kernels::encoded::EncodedRef;

/// The codes of a row of a tensor in row-major: those of symmetric formats shifted so that half of their range stands for 0.
/// Panics for formats without integers.
pub(super) fn shifted_codes(tensor: EncodedRef<'_>, row: usize, out: &mut [u8]) {
    let bits = tensor.format.code_bits() as usize;
    let row_bytes = tensor.cols * bits / 8;
    let bytes = &tensor.part(Component::Values)[row * row_bytes..][..row_bytes];
    match bits {
        4 => {
            let codes = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            out.iter_mut().zip(codes).for_each(|(out, code)| *out = code);
        }
        5 => runs::<5>(bytes, out),
        6 => runs::<6>(bytes, out),
        8 => out.copy_from_slice(bytes),
        _ => panic!("{} has no integer codes", tensor.format),
    }
    if !has_zero_points(tensor.format) {
        out.iter_mut().for_each(|code| *code ^= 1 << (bits - 1));
    }
}

/// Runs of codes, see [`Format::run`].
fn runs<const BITS: usize>(bytes: &[u8], out: &mut [u8]) {
    let (above_bits, run) = (BITS - 4, 8 / (BITS - 4));
    for (bytes, codes) in bytes.chunks_exact(run * BITS / 8).zip(out.chunks_exact_mut(run)) {
        let above = bytes[run / 2];
        for (column, code) in codes.iter_mut().enumerate() {
            let low = bytes[column / 2] >> (4 * (1 - column % 2)) & 15;
            let high = above >> (8 - above_bits * (column + 1)) & ((1 << above_bits) - 1);
            *code = high << 4 | low;
        }
    }
}

fn has_zero_points(format: Format) -> bool {
    matches!(format, Format::Int4 { zero_point: true, .. })
}

/// The zero point of a group of a row of a tensor in row-major; `None` of formats without.
pub(super) fn zero_point(tensor: EncodedRef<'_>, row: usize, group: usize) -> Option<u8> {
    let size = tensor.format.group().filter(|_| has_zero_points(tensor.format))?.size() as usize;
    let at = row * (tensor.cols / size) + group;
    Some(tensor.part(Component::ZeroPoints)[at / 2] >> (4 * (1 - at % 2)) & 15)
}

#[cfg(test)]
mod tests {
    use samp_abi::Group;
    use samp_kernels::{
        format::{decode_rows, encode},
        quantize::MatrixRef,
    };

    use super::*;

    /// Codes, zero points and scales make the decoded values.
    #[test]
    fn codes_make_the_values() {
        let group = Group::G64;
        let formats = [
            Format::Int4 { group, zero_point: false },
            Format::Int4 { group, zero_point: true },
            Format::Int5 { group },
            Format::Int6 { group },
            Format::INT8,
        ];
        let (rows, cols) = (3, 128);
        let values: Vec<f32> = (0..rows * cols).map(|i| ((i * 37 % 101) as f32 - 40.0) / 7.0).collect();
        for format in formats {
            let encoded = encode(format, rows, cols, &MatrixRef { cols, values: &values }, &[]).unwrap();
            let tensor = encoded.view();
            for row in 0..rows {
                let (mut codes, mut expected) = (vec![0; cols], vec![0.0; cols]);
                shifted_codes(tensor, row, &mut codes);
                decode_rows(tensor, row, &mut expected);
                for (col, (&code, &value)) in codes.iter().zip(&expected).enumerate() {
                    let at = col / 64;
                    let zero = zero_point(tensor, row, at).unwrap_or(1 << (format.code_bits() - 1));
                    let scale = match format.group() {
                        Some(_) => tensor.part_as::<half::f16>(Component::Scales)[2 * row + at].to_f32(),
                        None => tensor.part_as::<f32>(Component::Scales)[row],
                    };
                    assert_eq!((f32::from(code) - f32::from(zero)) * scale, value, "{format}, {row}, {col}");
                }
            }
        }
    }
}
