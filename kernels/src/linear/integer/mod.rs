//! Linear layers in integers: weights as 16-bit words, inputs rounded to 15 bits, sums of a block in 32 bits.
//!
//! The sum over a block of 64 columns is exact, and blocks are added up in ascending order by fused multiply–adds. So
//! every vector width, number of threads, variant and batch gives the same bits, as with the kernels in f32, from which
//! these differ by the rounding of inputs and of the levels of nf4 (docs/decisions/034).

mod activations;
mod bytes;
mod decode;
mod direct;
mod panel;

use super::{
    decode::{Float4, Int4, Int5, Int6, Int8, Weight},
    epilogue::{Epilogue, Write},
};
use crate::{
    args::LinearArgs,
    parallel::{Scatter, for_each_with},
    simd::{self, LANES, Width},
};
use activations::Activations;
use bytes::{Bytes, DecodeBytes, DirectBytes};
use decode::DecodeWords;
use direct::Direct;
use panel::{Decoded, PANEL_TILES, Panel};
use samp_abi::{Format, Layout};
use std::ops::Range;

use super::cpu::Variant;

/// Whether a linear over this format can be computed in integers.
pub const fn takes(format: Format) -> bool {
    matches!(
        format,
        Format::Int8 { .. }
            | Format::Int4 { .. }
            | Format::Int5 { .. }
            | Format::Int6 { .. }
            | Format::Nf4
            | Format::Fp4
    )
}

/// [`Variant::Direct`] at the machine's width.
pub fn direct(args: LinearArgs<'_>) {
    run_at(Width::detect(), Variant::Direct, args);
}

/// [`Variant::Panel`] at the machine's width.
pub fn panel(args: LinearArgs<'_>) {
    run_at(Width::detect(), Variant::Panel, args);
}

/// Computes a linear in integers at a given width; the weight must be in [`Layout::Rows16`] and of a format that
/// [`takes`] allows. Panics if the machine has not the width or the sizes do not fit.
pub fn run_at(width: Width, variant: Variant, args: LinearArgs<'_>) {
    args.check();
    let weight = args.weight;
    assert_eq!(weight.layout, Layout::Rows16, "the CPU's linear kernels read tiles of 16 rows");
    if args.out.is_empty() {
        return;
    }
    match weight.format {
        Format::Int8 { .. } => run_in_bytes(width, variant, args, Int8),
        Format::Int4 { group, zero_point } => {
            run_in_bytes(width, variant, args, Int4::new(&weight, group, zero_point))
        }
        Format::Int5 { .. } => run(width, variant, args, Int5::new(&weight)),
        Format::Int6 { .. } => run(width, variant, args, Int6::new(&weight)),
        Format::Nf4 | Format::Fp4 => run_in_bytes(width, variant, args, Float4::new(&weight)),
        other => panic!("{other} has no codes that are integers"),
    }
}

/// Tokens that are taken at a time, which bounds the memory for inputs and sums.
const MAX_TOKENS: usize = 256;

/// What a thread works in.
#[derive(Default)]
struct Scratch {
    /// Sums `[tiles, tokens]` before the last steps.
    totals: Vec<[f32; LANES]>,
    decoded: Decoded,
}

/// The same with bytes where the machine has them, for one token over whole blocks.
fn run_in_bytes<D: DecodeBytes<Codes = [u8; LANES]>>(
    width: Width,
    variant: Variant,
    args: LinearArgs<'_>,
    decoder: D,
) {
    let whole = args.weight.cols.is_multiple_of(super::decode::BLOCK);
    if variant == Variant::Panel || args.x.len() > args.weight.cols || !whole || width != Width::Avx512Vnni {
        return run(width, variant, args, decoder);
    }
    let weight = &Weight::new(&args.weight, decoder);
    let rounded = Activations::new(width, args.x, weight.cols);
    let x = &Bytes::new(&rounded, D::EVEN_FIRST);
    for_each_tiles(width, args, decoder, |Scratch { totals, .. }, tiles| {
        let job = DirectBytes { weight, x, tiles, totals };
        assert!(simd::run_bytes(width, job).is_ok(), "this width has products of bytes");
    });
}

fn run<D: DecodeWords>(width: Width, variant: Variant, args: LinearArgs<'_>, decoder: D) {
    let weight = &Weight::new(&args.weight, decoder);
    let (rows, cols) = (args.weight.rows, weight.cols);
    let outs = args.out.chunks_mut(MAX_TOKENS * rows);
    for (x, out) in args.x.chunks(MAX_TOKENS * cols).zip(outs) {
        let rounded = &Activations::new(width, x, cols);
        let args = LinearArgs { x, out, ..args };
        for_each_tiles(width, args, decoder, |Scratch { totals, decoded }, tiles| match variant {
            Variant::Direct => simd::run_integer(width, Direct { weight, x: rounded, tiles, totals }),
            Variant::Panel => Panel { weight, x: rounded, tiles, totals, scratch: decoded }.run(width),
        });
    }
}

/// Shares tiles out over threads: `sum` fills the sums of some of them, `[tiles, tokens]`, and the last steps follow.
fn for_each_tiles<D: DecodeWords>(
    width: Width,
    args: LinearArgs<'_>,
    decoder: D,
    sum: impl Fn(&mut Scratch, Range<usize>) + Sync + Send,
) {
    let epilogue = &Epilogue::new(&args).in_units_of(decoder.unit());
    let (x, cols) = (args.x, args.weight.cols);
    let out = &Scatter::new(args.out);
    let all_tiles = args.weight.rows.div_ceil(LANES);
    // A few tasks for each thread; how tiles are shared out changes no result.
    let per_task = all_tiles.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(PANEL_TILES);
    let per_task = per_task.min(panel::MAX_TASK_TILES);
    for_each_with(
        all_tiles.div_ceil(per_task),
        all_tiles * LANES * x.len(),
        Scratch::default,
        |scratch, task| {
            let tiles = task * per_task..all_tiles.min((task + 1) * per_task);
            scratch.totals.clear();
            let totals = tiles.len().next_multiple_of(PANEL_TILES) * (x.len() / cols);
            scratch.totals.resize(totals, [0.0; LANES]);
            sum(scratch, tiles.clone());
            let totals = &scratch.totals;
            simd::run(width, Write { epilogue, tiles, totals, x, cols, out, first_token: 0 });
        },
    );
}
