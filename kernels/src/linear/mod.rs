//! Linear layers over encoded weights.

use crate::{encoded::EncodedRef, registry::Kernel};

/// `out[t] = weight · x[t] + bias`.
pub struct LinearArgs<'a> {
    /// Input `[tokens, weight.cols]`.
    pub x: &'a [f32],
    /// Weight `[rows, cols]` in the kernel's layout.
    pub weight: EncodedRef<'a>,
    /// Bias `[rows]`.
    pub bias: Option<&'a [f32]>,
    /// Result `[tokens, weight.rows]`.
    pub out: &'a mut [f32],
}

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[];
