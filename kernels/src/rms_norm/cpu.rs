//! RMS normalisation on the CPU: rows in parallel, the mean square in f64.

use crate::{
    args::{AddRmsNormArgs, RmsNormArgs},
    parallel::{for_each_row, for_each_row_pair},
};

/// Normalises every row.
pub fn rms_norm(args: RmsNormArgs<'_>) {
    let width = args.check();
    let RmsNormArgs { x, weight, eps, out } = args;
    for_each_row(out, width, |row, out| normalize(&x[row * width..][..width], weight, eps, out));
}

/// Adds and normalises every row in one go.
pub fn add_rms_norm(args: AddRmsNormArgs<'_>) {
    let width = args.check();
    let AddRmsNormArgs { x, sum, weight, eps, out } = args;
    for_each_row_pair((sum, out), width, |row, sum, out| {
        for (sum, x) in sum.iter_mut().zip(&x[row * width..]) {
            *sum += x;
        }
        normalize(sum, weight, eps, out);
    });
}

fn normalize(x: &[f32], weight: &[f32], eps: f64, out: &mut [f32]) {
    let scale = (1.0 / (sum_of_squares(x) / x.len() as f64 + eps).sqrt()) as f32;
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * weight;
    }
}

/// In f64, where the square of an f32 is exact: eight sums that vectors of any width can hold, then halves first.
fn sum_of_squares(x: &[f32]) -> f64 {
    let (chunks, rest) = x.as_chunks::<8>();
    let mut sums = [0.0f64; 8];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(*x) * f64::from(*x);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += f64::from(*x) * f64::from(*x);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}
