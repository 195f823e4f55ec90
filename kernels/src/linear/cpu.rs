//! Linear layers over 16-row tiles on the CPU.
//!
//! Every output is summed in one order: ascending columns in one accumulator for each block of 64, block sums times
//! their scale into the total, each step a fused multiply–add. So the vector width, the number of threads, the variant
//! and the other tokens of the batch never change a bit.

use super::{
    decode::{Bf16, Decode, F16, F32, Float4, Fp8, Int4, Int5, Int6, Int8, Weight},
    direct::Direct,
    epilogue::Epilogue,
    panel::{Decoded, Panel},
    tiles::{for_each_tiles, for_each_tokens},
    tokens::PackedTokens,
};
use crate::{
    args::LinearArgs,
    simd::{self, Width},
};
use samp_abi::{Format, Layout};

/// How weights become lanes of f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// In registers, again for every block of tokens: for few tokens.
    Direct,
    /// Into an f32 panel, once for all tokens: for many.
    Panel,
}

/// [`Variant::Direct`] at the machine's width.
pub fn direct(args: LinearArgs<'_>) {
    run_at(Width::detect(), Variant::Direct, args);
}

/// [`Variant::Panel`] at the machine's width.
pub fn panel(args: LinearArgs<'_>) {
    run_at(Width::detect(), Variant::Panel, args);
}

/// Computes a linear at a given width; the weight must be in [`Layout::Rows16`]. Panics if the machine has not the
/// width or the sizes do not fit.
pub fn run_at(width: Width, variant: Variant, args: LinearArgs<'_>) {
    args.check();
    let weight = args.weight;
    assert_eq!(weight.layout, Layout::Rows16, "the CPU's linear kernels read tiles of 16 rows");
    if args.out.is_empty() {
        return;
    }
    match weight.format {
        Format::F32 => run(width, variant, args, F32),
        Format::F16 => run(width, variant, args, F16),
        Format::Bf16 => run(width, variant, args, Bf16),
        Format::Fp8E4m3(_) => run(width, variant, args, Fp8),
        Format::Int8 { .. } => run(width, variant, args, Int8),
        Format::Int4 { group, zero_point } => {
            run(width, variant, args, Int4::new(&weight, group, zero_point))
        }
        Format::Int5 { .. } => run(width, variant, args, Int5::new(&weight)),
        Format::Int6 { .. } => run(width, variant, args, Int6::new(&weight)),
        Format::Nf4 | Format::Fp4 => run(width, variant, args, Float4::new(&weight)),
    }
}

/// Tokens that are taken at a time, which bounds the memory for packed inputs and sums.
const MAX_TOKENS: usize = 240;

fn run<D: Decode>(width: Width, variant: Variant, args: LinearArgs<'_>, decoder: D) {
    let weight = &Weight::new(&args.weight, decoder);
    for_each_tokens(args, MAX_TOKENS, |args| {
        let (x, epilogue) = (args.x, Epilogue::new(&args));
        match variant {
            Variant::Direct => for_each_tiles(width, args, epilogue, |(): &mut (), tiles, totals| {
                simd::run(width, Direct { weight, x, tiles, totals });
            }),
            Variant::Panel => {
                let x = &PackedTokens::new(x, weight.cols, width);
                for_each_tiles(width, args, epilogue, |scratch: &mut Decoded, tiles, totals| {
                    Panel { weight, x, tiles, totals, scratch }.run(width);
                });
            }
        }
    });
}
