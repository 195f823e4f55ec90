//! What a linear computes, in plain loops.

use crate::{args::LinearArgs, format::decode_rows};

/// Decodes each row, whatever its format and layout, and sums in f64.
pub fn linear(args: LinearArgs<'_>) {
    args.check();
    let (rows, cols) = (args.weight.rows, args.weight.cols);
    let mut weights = vec![0.0; cols];
    for row in 0..rows {
        decode_rows(args.weight, row, &mut weights);
        let bias = args.bias.map_or(0.0, |b| f64::from(b[row]));
        for (x, out) in args.x.chunks_exact(cols).zip(args.out.chunks_exact_mut(rows)) {
            let sum: f64 = weights.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            out[row] = (sum + bias) as f32;
        }
    }
}
