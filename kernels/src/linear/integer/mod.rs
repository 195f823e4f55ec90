//! Linear layers in integers: weights as 16-bit words, inputs rounded to 15 bits, sums of a block in 32 bits.
//!
//! The sum over a block of 64 columns is exact, and blocks are added up in ascending order by fused multiply–adds. So
//! every vector width, number of threads, variant and batch gives the same bits, as with the kernels in f32, from which
//! these differ by the rounding of inputs and of the levels of nf4 (docs/decisions/034).

mod activations;
mod bytes;
mod decode;
mod direct;
#[cfg(target_arch = "x86_64")]
mod matrix;
mod panel;

use super::{
    decode::{BLOCK, Float4, Int4, Int5, Int6, Int8, Weight},
    epilogue::Epilogue,
    tiles::{for_each_tiles, for_each_tokens},
};
use crate::{
    args::LinearArgs,
    simd::{self, Width},
};
use activations::Activations;
use bytes::{Bytes, DecodeBytes, DirectBytes};
use decode::DecodeWords;
use direct::Direct;
use panel::{Decoded, Panel};
use samp_abi::{Component, Format, Layout};
use std::borrow::Cow;

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

/// Computes a linear in integers in the way that is fastest here, since none changes a bit.
pub fn linear(args: LinearArgs<'_>) {
    let width = Width::detect();
    let variant =
        if tokens(&args) <= few_tokens(width, args.weight.format) { Variant::Direct } else { Variant::Panel };
    run_at(width, variant, args);
}

fn tokens(args: &LinearArgs<'_>) -> usize {
    args.x.len() / args.weight.cols.max(1)
}

/// The most tokens that are faster over weights decoded in registers, as `cargo bench --bench linear` measures. Codes in runs
/// are slow to decode to words.
fn few_tokens(width: Width, format: Format) -> usize {
    match (width, format) {
        (Width::Amx, Format::Int5 { .. } | Format::Int6 { .. }) => FEW_BYTES,
        (Width::Amx, _) => 4,
        _ => 8,
    }
}

/// The most tokens that are faster in products of bytes than of words, which take as many instructions for a token or half as
/// many, but more for each weight.
const FEW_BYTES: usize = 2;

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
        Format::Int5 { .. } => run_in_bytes(width, variant, args, Int5::new(&weight)),
        Format::Int6 { .. } => run_in_bytes(width, variant, args, Int6::new(&weight)),
        Format::Nf4 | Format::Fp4 => run_in_bytes(width, variant, args, Float4::new(&weight)),
        other => panic!("{other} has no codes that are integers"),
    }
}

/// Tokens that are taken at a time, which bounds the memory for inputs and sums.
const MAX_TOKENS: usize = 256;

/// With bytes where the machine multiplies them: in vectors for few tokens, and in matrix units for many.
fn run_in_bytes<D: DecodeBytes>(width: Width, variant: Variant, args: LinearArgs<'_>, decoder: D) {
    match variant {
        _ if !width.multiplies_bytes() || !args.weight.cols.is_multiple_of(BLOCK) => {
            run(width, variant, args, decoder)
        }
        Variant::Direct if tokens(&args) <= FEW_BYTES => run_in_vectors(width, args, decoder),
        #[cfg(target_arch = "x86_64")]
        Variant::Panel if width == Width::Amx => run_in_tiles(args, decoder),
        _ => run(width, variant, args, decoder),
    }
}

/// What is rounded: the inputs, without those of outlier columns, whose codes are zero and whose magnitudes would make the
/// steps of their neighbours coarse.
fn inputs<'a>(args: &LinearArgs<'a>) -> Cow<'a, [f32]> {
    let outliers: &[u32] = args.weight.part_as(Component::OutlierColumns);
    let mut inputs = Cow::Borrowed(args.x);
    if !outliers.is_empty() {
        for x in inputs.to_mut().chunks_exact_mut(args.weight.cols) {
            outliers.iter().for_each(|&column| x[column as usize] = 0.0);
        }
    }
    inputs
}

/// Few tokens in products of bytes.
fn run_in_vectors<D: DecodeBytes>(width: Width, args: LinearArgs<'_>, decoder: D) {
    let weight = &Weight::new(&args.weight, decoder);
    let rounded = Activations::new(width, &inputs(&args), weight.cols);
    let x = &Bytes::new(&rounded, D::EVEN_FIRST);
    let epilogue = Epilogue::new(&args).in_units_of(decoder.unit());
    for_each_tiles(width, args, epilogue, |(): &mut (), tiles, totals| {
        simd::run_bytes(width, DirectBytes { weight, x, tiles, totals });
    });
}

/// Many tokens in matrix units.
#[cfg(target_arch = "x86_64")]
fn run_in_tiles<D: DecodeBytes>(args: LinearArgs<'_>, decoder: D) {
    let weight = &Weight::new(&args.weight, decoder);
    for_each_tokens(args, MAX_TOKENS, |args| {
        let x = &matrix::TokenTiles::new(Width::Amx, &inputs(&args), weight.cols, D::EVEN_FIRST);
        let epilogue = Epilogue::new(&args).in_units_of(decoder.unit());
        for_each_tiles(Width::Amx, args, epilogue, |scratch: &mut matrix::Scratch, tiles, totals| {
            simd::run_bytes(Width::Amx, matrix::Matrix { weight, x, tiles, totals, scratch });
        });
    });
}

/// In pairs of words.
fn run<D: DecodeWords>(width: Width, variant: Variant, args: LinearArgs<'_>, decoder: D) {
    let weight = &Weight::new(&args.weight, decoder);
    for_each_tokens(args, MAX_TOKENS, |args| {
        let x = &Activations::new(width, &inputs(&args), weight.cols);
        let epilogue = Epilogue::new(&args).in_units_of(decoder.unit());
        for_each_tiles(width, args, epilogue, |scratch: &mut Decoded, tiles, totals| match variant {
            Variant::Direct => simd::run_integer(width, Direct { weight, x, tiles, totals }),
            Variant::Panel => Panel { weight, x, tiles, totals, scratch }.run(width),
        });
    });
}
