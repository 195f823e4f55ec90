//! What RMS normalisation computes, in plain loops.

use crate::args::{AddRmsNormArgs, RmsNormArgs};

/// Normalises every row in f64.
pub fn rms_norm(args: RmsNormArgs<'_>) {
    let width = args.check();
    for (x, out) in args.x.chunks_exact(width).zip(args.out.chunks_exact_mut(width)) {
        let mean_square = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / width as f64;
        let inverse = 1.0 / (mean_square + args.eps).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(args.weight) {
            *out = (f64::from(*x) * inverse * f64::from(*weight)) as f32;
        }
    }
}

/// Adds, then normalises the sum.
pub fn add_rms_norm(args: AddRmsNormArgs<'_>) {
    args.check();
    for (sum, x) in args.sum.iter_mut().zip(args.x) {
        *sum += x;
    }
    rms_norm(RmsNormArgs { x: args.sum, weight: args.weight, eps: args.eps, out: args.out });
}
