//! Properties of every format over random tensors.

use proptest::prelude::*;
use samp_abi::{ABSMAX_GROUP, BLOCK, Component, Format};
use samp_kernels::{
    format::encode,
    random::{GOLDEN_GAMMA, mix64},
};

use super::{Matrix, bytes, decode};

/// Bell-shaped values; rows differ in loudness by up to 10^±`decades`.
pub fn random_matrix(rows: usize, cols: usize, seed: u64, decades: i32) -> Matrix {
    let uniform = |index: usize, draw: u64| {
        let bits = mix64(seed ^ (index as u64 * 4 + draw).wrapping_mul(GOLDEN_GAMMA));
        (bits >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let value = |index: usize| {
        let loudness = 10f32.powf(2.0 * decades as f32 * uniform(index / cols, 3));
        (0..3).map(|draw| uniform(index, draw)).sum::<f32>() * loudness
    };
    Matrix { cols, values: (0..rows * cols).map(value).collect() }
}

/// The largest magnitude, and the smallest and largest value with zero among them.
fn extent(values: &[f32]) -> (f32, f32, f32) {
    let low = values.iter().fold(0f32, |a, b| a.min(*b));
    let high = values.iter().fold(0f32, |a, b| a.max(*b));
    (high.max(-low), low, high)
}

/// How far double quantization may move each block's absmax: half the widest gap of the map, 0.9/64, and one of the
/// 65535 steps that values snap to, times the group's largest distance from the mean.
fn absmax_errors(input: &Matrix) -> Vec<f32> {
    let absmax: Vec<f32> = input.values.chunks(BLOCK as usize).map(|block| extent(block).0).collect();
    let mean = absmax.iter().sum::<f32>() / absmax.len() as f32;
    let group_error = |group: &[f32]| {
        let spread = group.iter().fold(0f32, |max, a| max.max((a - mean).abs()));
        vec![spread * (0.45 / 64.0 + 1.0 / 65535.0) + mean * 1e-5; group.len()]
    };
    absmax.chunks(ABSMAX_GROUP as usize).flat_map(group_error).collect()
}

/// The largest error that `format` may make at each value.
fn bounds(format: Format, input: &Matrix) -> Vec<f32> {
    // What the f32 arithmetic on either side of the rounding may add.
    let slack = 1.0 + 1e-4;
    let per_row = |bound: &dyn Fn(&[f32], f32) -> f32, width: usize| -> Vec<f32> {
        let group = |values: &[f32]| values.iter().map(|&x| bound(values, x) * slack).collect::<Vec<_>>();
        input.values.chunks(width).flat_map(group).collect()
    };
    match format {
        Format::F32 => vec![0.0; input.values.len()],
        Format::F16 => per_row(&|_, x| x.abs() / 2048.0 + 2f32.powi(-25), input.cols),
        Format::Bf16 => per_row(&|_, x| x.abs() / 256.0, input.cols),
        Format::Fp8E4m3(axis) => {
            let width = if axis == samp_abi::ScaleAxis::Channel { input.cols } else { input.values.len() };
            per_row(&|values, x| (x.abs() / 16.0).max(extent(values).0 / 448.0 / 1024.0), width)
        }
        Format::Int8 { .. } => per_row(&|values, _| extent(values).0 / 127.0 / 2.0, input.cols),
        // The scale moves by up to 2^-11 of itself in f16; the side opposite to the extreme is clipped at the largest
        // code, such as 7.
        Format::Int4 { group, zero_point: false } | Format::Int5 { group } | Format::Int6 { group } => {
            let half = (1 << (format.code_bits() - 1)) as f32;
            let bound = |values: &[f32], x: f32| {
                let (absmax, low, high) = extent(values);
                let clipped = if -low >= high { x } else { -x };
                (absmax / half / 2.0).max(clipped - absmax * (half - 1.0) / half) + absmax / 2048.0
            };
            per_row(&bound, group.size() as usize)
        }
        // Rounding the zero point may clip half a step more at one end.
        Format::Int4 { group, zero_point: true } => {
            let bound = |values: &[f32], _| {
                let (_, low, high) = extent(values);
                (high - low) / 15.0 + (high - low) / 2048.0
            };
            per_row(&bound, group.size() as usize)
        }
        Format::Nf4 | Format::Fp4 => {
            let widest_gap = if format == Format::Nf4 { 0.30381 } else { 0.33334 };
            let rounding = per_row(&|values, _| extent(values).0 * widest_gap / 2.0, BLOCK as usize);
            let absmax_errors = absmax_errors(input);
            rounding.iter().enumerate().map(|(i, r)| r + absmax_errors[i / BLOCK as usize]).collect()
        }
    }
}

/// Whether encoding what was decoded gives the same codes for any tensor. Asymmetric int4 may round both ends of a
/// group inwards and then finds a smaller range.
fn is_idempotent(format: Format) -> bool {
    !matches!(format, Format::Int4 { zero_point: true, .. })
}

/// Codes with the two zeros of fp4, which decode alike, made one.
fn codes(format: Format, bytes: &[u8]) -> Vec<u8> {
    let merged = |code: u8| if format == Format::Fp4 && code == 8 { 0 } else { code };
    match format.code_bits() {
        4 => bytes.iter().map(|byte| merged(byte >> 4) << 4 | merged(byte & 15)).collect(),
        _ => bytes.to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_error_is_bounded(rows in 1usize..50, blocks in 1usize..5, seed: u64, decades in 0i32..3) {
        let input = random_matrix(rows, blocks * 128, seed, decades);
        for format in Format::ALL {
            let decoded = decode(&input.encode(format).unwrap());
            let bounds = bounds(format, &input);
            for (i, ((x, y), bound)) in input.values.iter().zip(&decoded).zip(bounds).enumerate() {
                prop_assert!((x - y).abs() <= bound, "{format} at {i}: {x} became {y}, more than {bound} off");
            }
        }
    }

    #[test]
    fn encoding_again_changes_no_code(rows in 1usize..50, blocks in 1usize..5, seed: u64) {
        let input = random_matrix(rows, blocks * 128, seed, 0);
        for format in Format::ALL.into_iter().filter(|&format| is_idempotent(format)) {
            let columns = [1, 64, 127];
            let first = encode(format, rows, input.cols, &input, &columns).unwrap();
            let decoded = Matrix { cols: input.cols, values: decode(&first) };
            let second = encode(format, rows, input.cols, &decoded, &columns).unwrap();
            let of = |tensor: &samp_kernels::encoded::Encoded| codes(format, tensor.view().part(Component::Values));
            prop_assert!(of(&first) == of(&second), "{format}");
        }
    }

    #[test]
    fn arrays_are_as_the_contract_says(rows in 1usize..50, blocks in 1usize..5, seed: u64) {
        let input = random_matrix(rows, blocks * 128, seed, 2);
        for format in Format::ALL {
            let encoded = encode(format, rows, input.cols, &input, &[3, 90]).unwrap();
            prop_assert_eq!(encoded.view().check(), Ok(()));
            let kept = if format == (Format::Int8 { outliers: true }) { 2 } else { 0 };
            prop_assert_eq!(encoded.outliers(), kept);
        }
    }
}

#[test]
fn outlier_columns_are_kept_in_f16() {
    let mut input = random_matrix(40, 256, 3, 0);
    for row in input.values.chunks_mut(256) {
        row[17] += 60.0;
        row[200] = -9.0;
    }
    let format = Format::Int8 { outliers: true };
    let kept = encode(format, 40, 256, &input, &[17, 200]).unwrap();
    let decoded = decode(&kept);
    let plain = decode(&input.encode(Format::Int8 { outliers: false }).unwrap());
    let error = |decoded: &[f32], col: usize| (decoded[col] - input.values[col]).abs();
    for row in 0..40 {
        let codes = &kept.view().part(Component::Values)[row * 256..][..256];
        assert_eq!((codes[17], codes[200]), (0, 0));
        assert_eq!(decoded[row * 256 + 17], half::f16::from_f32(input.values[row * 256 + 17]).to_f32());
        assert_eq!(decoded[row * 256 + 200], -9.0);
    }
    let others = || (0..40 * 256).filter(|i| i % 256 != 17 && i % 256 != 200);
    let total = |decoded: &[f32]| others().map(|i| error(decoded, i)).sum::<f32>();
    assert!(total(&decoded) * 20.0 < total(&plain), "the others' scale does not count the outliers");
}

/// Several chunks of rows, shared out differently over 1 to 7 threads.
#[test]
fn threads_change_nothing() {
    let input = random_matrix(701, 512, 11, 1);
    for format in Format::ALL {
        let encode_on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| encode(format, 701, 512, &input, &[2, 300]).unwrap())
        };
        let alone = encode_on(1);
        for threads in [2, 3, 7] {
            assert!(bytes(&encode_on(threads)) == bytes(&alone), "{format} on {threads} threads");
        }
    }
}
