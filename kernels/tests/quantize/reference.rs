//! Plain loops in f64.

use half::f16;
use samp_abi::{BLOCK, Component, Format, Group, ScaleAxis};
use samp_kernels::{
    encoded::Encoded,
    format::{ABSMAX_MAP, FP8, INT4, table},
    quantize::Hessian,
};

/// A square matrix by rows.
pub type Matrix = Vec<Vec<f64>>;

/// `H` with its columns in `order` and `added(k)` on the diagonal.
pub fn dense(h: &Hessian, order: &[usize], added: impl Fn(usize) -> f64) -> Matrix {
    let row = |i: &usize| order.iter().map(|&j| h.at(*i, j) + if *i == j { added(j) } else { 0.0 }).collect();
    order.iter().map(row).collect()
}

/// The inverse by Gauss–Jordan elimination with pivoting.
pub fn inverse(matrix: &Matrix) -> Matrix {
    let n = matrix.len();
    let mut left = matrix.clone();
    let mut right: Matrix = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for k in 0..n {
        let best = (k..n).max_by(|&i, &j| left[i][k].abs().total_cmp(&left[j][k].abs())).unwrap();
        left.swap(k, best);
        right.swap(k, best);
        let pivot = left[k][k];
        left[k].iter_mut().chain(&mut right[k]).for_each(|x| *x /= pivot);
        for i in (0..n).filter(|&i| i != k) {
            let share = left[i][k];
            for j in 0..n {
                left[i][j] -= share * left[k][j];
                right[i][j] -= share * right[k][j];
            }
        }
    }
    right
}

/// Optimal brain quantization in a fixed order, the definition that GPTQ speeds up: each column is rounded, the others
/// are moved to where the error is least, and its row and column are eliminated from the inverse of `H`. `weights` and
/// `round(column's place, weight)` are of one row. Returns the rounded row.
pub fn compensate(h: &Matrix, weights: &[f64], mut round: impl FnMut(usize, &[f64]) -> f64) -> Vec<f64> {
    let n = weights.len();
    let mut inverse = inverse(h);
    let (mut w, mut rounded) = (weights.to_vec(), vec![0.0; n]);
    for k in 0..n {
        rounded[k] = round(k, &w);
        let error = (w[k] - rounded[k]) / inverse[k][k];
        for j in k..n {
            w[j] -= error * inverse[k][j];
        }
        let row = inverse[k].clone();
        for i in k + 1..n {
            for j in k + 1..n {
                inverse[i][j] -= row[i] * row[j] / row[k];
            }
        }
    }
    rounded
}

/// `Σ_rows e H eᵀ`.
pub fn quadratic(h: &Hessian, errors: &[f64]) -> f64 {
    let n = h.cols();
    let row =
        |e: &[f64]| -> f64 { (0..n).map(|i| (0..n).map(|j| e[i] * h.at(i, j) * e[j]).sum::<f64>()).sum() };
    errors.chunks(n).map(row).sum()
}

/// Every value that a tensor can hold at `(row, col)` under the scales that it has.
pub fn values(tensor: &Encoded, row: usize, col: usize) -> Vec<f64> {
    let view = tensor.view();
    let times = |values: &[f32], scale: f32| values.iter().map(|v| f64::from(v * scale)).collect();
    match tensor.format {
        Format::Nf4 | Format::Fp4 => {
            let block = (row * tensor.cols + col) / BLOCK as usize;
            let map = ABSMAX_MAP[usize::from(view.part(Component::AbsmaxCodes)[block])];
            let scale = view.part_as::<f32>(Component::AbsmaxScales)[block / 256];
            let absmax = map * scale + view.part_as::<f32>(Component::AbsmaxOffset)[0];
            times(table(tensor.format), absmax)
        }
        Format::Int5 { group } | Format::Int6 { group } => {
            let scale =
                view.part_as::<f16>(Component::Scales)[(row * tensor.cols + col) / group.size() as usize];
            let half = 1 << (tensor.format.code_bits() - 1);
            (-half..half).map(|code: i32| f64::from(code as f32 * scale.to_f32())).collect()
        }
        Format::Int4 { group, zero_point } => {
            let group = (row * tensor.cols + col) / if group == Group::G64 { 64 } else { 128 };
            let scale = view.part_as::<f16>(Component::Scales)[group].to_f32();
            if !zero_point {
                return times(&INT4, scale);
            }
            let byte = view.part(Component::ZeroPoints)[group / 2];
            let zero = if group.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
            (0..16).map(|code| f64::from((code as f32 - f32::from(zero)) * scale)).collect()
        }
        Format::Fp8E4m3(axis) => {
            let scales = view.part_as::<f32>(Component::Scales);
            let scale = scales[if axis == ScaleAxis::Channel { row } else { 0 }];
            FP8.iter().filter(|v| v.is_finite()).map(|v| f64::from(v * scale)).collect()
        }
        Format::Int8 { .. } => {
            let columns = view.part_as::<u32>(Component::OutlierColumns);
            if columns.contains(&(col as u32)) {
                return Vec::new();
            }
            let scale = view.part_as::<f32>(Component::Scales)[row];
            (-127..=127).map(|code| f64::from(code as f32 * scale)).collect()
        }
        other => panic!("{other} has no scales"),
    }
}

/// The value nearest to `x`; `x` in f16 where there are none to choose from.
pub fn nearest(values: &[f64], x: f64) -> f64 {
    let best = values.iter().copied().min_by(|a, b| (a - x).abs().total_cmp(&(b - x).abs()));
    best.unwrap_or_else(|| f16::from_f32(x as f32).to_f64())
}
