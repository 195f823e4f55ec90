//! What the operations over rows compute, in plain loops.

use crate::args::{AddArgs, ConcatArgs, GatherArgs, SiluMulArgs};

/// Adds element by element.
pub fn add(args: AddArgs<'_>) {
    args.check();
    for ((out, a), b) in args.out.iter_mut().zip(args.a).zip(args.b) {
        *out = a + b;
    }
}

/// `silu(g) = g / (1 + e^−g)`, in f64.
pub fn silu_mul(args: SiluMulArgs<'_>) {
    args.check();
    let width = args.width;
    for (gate_up, out) in args.gate_up.chunks_exact(2 * width).zip(args.out.chunks_exact_mut(width)) {
        let (gate, up) = gate_up.split_at(width);
        for ((out, g), u) in out.iter_mut().zip(gate).zip(up) {
            let g = f64::from(*g);
            *out = (g / (1.0 + (-g).exp()) * f64::from(*u)) as f32;
        }
    }
}

/// Copies element by element, part after part.
pub fn concat(args: ConcatArgs<'_>) {
    let mut start = 0;
    for (part, width) in args.parts.iter().zip(args.part_widths()) {
        for (index, value) in part.iter().enumerate() {
            args.out[index / width * args.width + start + index % width] = *value;
        }
        start += width;
    }
}

/// Copies row by row.
pub fn gather(args: GatherArgs<'_>) {
    args.check();
    let width = args.width;
    for (row, out) in args.rows.iter().zip(args.out.chunks_exact_mut(width)) {
        out.copy_from_slice(&args.x[*row as usize * width..][..width]);
    }
}
