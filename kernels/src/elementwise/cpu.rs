//! The operations over rows on the CPU.

use crate::{
    args::{AddArgs, ConcatArgs, GatherArgs, SiluMulArgs},
    parallel::for_each_row,
    simd::{self, Job, LANES, Lanes, Width},
};

/// Elements that one task adds.
const ADD_CHUNK: usize = 1 << 14;

/// Adds element by element.
pub fn add(args: AddArgs<'_>) {
    args.check();
    let AddArgs { a, b, out } = args;
    let whole = out.len() / ADD_CHUNK * ADD_CHUNK;
    let (chunks, rest) = out.split_at_mut(whole);
    let add = |start: usize, out: &mut [f32]| {
        for ((out, a), b) in out.iter_mut().zip(&a[start..]).zip(&b[start..]) {
            *out = a + b;
        }
    };
    for_each_row(chunks, ADD_CHUNK, |chunk, out| add(chunk * ADD_CHUNK, out));
    add(whole, rest);
}

/// SiLU of the gate times up, at the machine's width.
pub fn silu_mul(args: SiluMulArgs<'_>) {
    silu_mul_at(Width::detect(), args);
}

/// SiLU of the gate times up, at a given width. Panics if the machine has not the width.
pub fn silu_mul_at(width: Width, args: SiluMulArgs<'_>) {
    args.check();
    let SiluMulArgs { gate_up, width: columns, out } = args;
    for_each_row(out, columns, |row, out| {
        let (gate, up) = gate_up[row * 2 * columns..][..2 * columns].split_at(columns);
        simd::run(width, SiluMul { gate, up, out });
    });
}

struct SiluMul<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

impl Job for SiluMul<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (gates, gate_rest) = self.gate.as_chunks();
        let (ups, up_rest) = self.up.as_chunks();
        let (outs, out_rest) = self.out.as_chunks_mut();
        for ((gate, up), out) in gates.iter().zip(ups).zip(outs) {
            silu_mul_lanes(l, gate, up, out);
        }
        if !out_rest.is_empty() {
            let (mut gate, mut up, mut out) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            gate[..gate_rest.len()].copy_from_slice(gate_rest);
            up[..up_rest.len()].copy_from_slice(up_rest);
            silu_mul_lanes(l, &gate, &up, &mut out);
            out_rest.copy_from_slice(&out[..out_rest.len()]);
        }
    }
}

#[inline(always)]
fn silu_mul_lanes<L: Lanes>(l: L, gate: &[f32; LANES], up: &[f32; LANES], out: &mut [f32; LANES]) {
    let gate = l.load(gate);
    let power = simd::exp(l, l.sub(l.splat(0.0), gate));
    let silu = l.div(gate, l.add(l.splat(1.0), power));
    l.store(l.mul(silu, l.load(up)), out);
}

/// Copies the parts of a row one after another.
pub fn concat(args: ConcatArgs<'_>) {
    let widths = args.part_widths();
    for_each_row(args.out, args.width, |row, mut out| {
        for (part, &width) in args.parts.iter().zip(&widths) {
            let (own, rest) = out.split_at_mut(width);
            own.copy_from_slice(&part[row * width..][..width]);
            out = rest;
        }
    });
}

/// Copies row by row.
pub fn gather(args: GatherArgs<'_>) {
    args.check();
    let GatherArgs { x, width, rows, out } = args;
    for_each_row(out, width, |index, out| out.copy_from_slice(&x[rows[index] as usize * width..][..width]));
}
