//! The gradient of RMS normalisation.

use rayon::prelude::*;

/// Adds the gradient by `x`, `[rows, width]`, where `out` is that by the normalised rows. With `r = 1 / sqrt(mean(x²) + eps)`
/// and `g = weight · out` it is `r g − x r³ mean(g x)`. Panics if the shapes differ.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f64, out: &[f32], gradient: &mut [f32]) {
    let width = weight.len();
    assert!(
        x.len() == out.len() && x.len() == gradient.len() && x.len().is_multiple_of(width),
        "of one shape"
    );
    let rows =
        gradient.par_chunks_exact_mut(width).zip(x.par_chunks_exact(width).zip(out.par_chunks_exact(width)));
    rows.for_each(|(gradient, (x, out))| {
        let mean = |sum: f64| sum / width as f64;
        let square = mean(x.iter().map(|&x| f64::from(x) * f64::from(x)).sum());
        let products = out.iter().zip(weight).zip(x);
        let along = mean(products.map(|((&g, &w), &x)| f64::from(g) * f64::from(w) * f64::from(x)).sum());
        let inverse = 1.0 / (square + eps).sqrt();
        let (inverse, back) = (inverse as f32, (along * inverse.powi(3)) as f32);
        for ((gradient, x), (g, w)) in gradient.iter_mut().zip(x).zip(out.iter().zip(weight)) {
            *gradient += inverse * g * w - back * x;
        }
    });
}
