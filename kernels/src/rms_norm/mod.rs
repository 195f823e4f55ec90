//! RMS normalisation, alone and fused with the residual addition before it.

use crate::registry::Kernel;

/// `out[t] = x[t] / sqrt(mean(x[t]²) + eps) · weight`; rows are `weight.len()` wide.
pub struct RmsNormArgs<'a> {
    /// Input `[tokens, width]`.
    pub x: &'a [f32],
    /// Norm weight `[width]`.
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub eps: f64,
    /// Result `[tokens, width]`.
    pub out: &'a mut [f32],
}

/// `sum = x + residual`, then `out = rms_norm(sum)`. `sum` holds the residual on entry.
pub struct AddRmsNormArgs<'a> {
    /// First summand `[tokens, width]`.
    pub x: &'a [f32],
    /// The residual on entry, the sum on return `[tokens, width]`.
    pub sum: &'a mut [f32],
    /// Norm weight `[width]`.
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub eps: f64,
    /// The normalised sum `[tokens, width]`.
    pub out: &'a mut [f32],
}

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[];
