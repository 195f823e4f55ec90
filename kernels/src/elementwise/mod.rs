//! Operations over rows without a packed weight: addition, SiLU · mul, gather.

use crate::registry::Kernel;

/// `out = a + b`.
pub struct AddArgs<'a> {
    /// First summand.
    pub a: &'a [f32],
    /// Second summand.
    pub b: &'a [f32],
    /// Result.
    pub out: &'a mut [f32],
}

/// `out = silu(gate) · up` for rows `[gate, up]`.
pub struct SiluMulArgs<'a> {
    /// `[tokens, 2·width]`.
    pub gate_up: &'a [f32],
    /// Elements of a result row.
    pub width: usize,
    /// Result `[tokens, width]`.
    pub out: &'a mut [f32],
}

/// `out[o] = x[rows[o]]`.
pub struct GatherArgs<'a> {
    /// Input `[tokens, width]`.
    pub x: &'a [f32],
    /// Elements of a row.
    pub width: usize,
    /// The rows to take.
    pub rows: &'a [u32],
    /// Result `[rows.len(), width]`.
    pub out: &'a mut [f32],
}

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[];
