//! The gradient of SiLU · mul.

use rayon::prelude::*;

/// Adds the gradient by `gate_up`, `[rows, 2 · width]`, where `out` is that by `silu(gate) · up`, `[rows, width]`. With
/// `s = 1 / (1 + e^−gate)`, that by the gate is `out · up · s (1 + gate (1 − s))`. Panics if the shapes differ.
pub fn silu_mul(gate_up: &[f32], width: usize, out: &[f32], gradient: &mut [f32]) {
    assert!(gate_up.len() == 2 * out.len() && gradient.len() == gate_up.len(), "of one shape");
    let rows = gradient.par_chunks_exact_mut(2 * width).zip(gate_up.par_chunks_exact(2 * width));
    rows.zip(out.par_chunks_exact(width)).for_each(|((gradient, gate_up), out)| {
        let (by_gate, by_up) = gradient.split_at_mut(width);
        let (gate, up) = gate_up.split_at(width);
        for ((by_gate, by_up), ((&gate, &up), &out)) in
            by_gate.iter_mut().zip(by_up).zip(gate.iter().zip(up).zip(out))
        {
            let s = 1.0 / (1.0 + (-gate).exp());
            *by_gate += out * up * s * (1.0 + gate * (1.0 - s));
            *by_up += out * gate * s;
        }
    });
}
