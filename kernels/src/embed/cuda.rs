//! Embedding kernels of GPUs: how sources are specialised, and what launching them takes.
//!
//! Arguments, in order: token ids (i32), the arrays of the table in the order of
//! [`Layout::components`] (int4 without zero points a null in their place), out (f32 `[tokens, cols]`), tokens (i32).

use samp_abi::{Format, Layout, ScaleAxis};

use crate::cuda::{Grid, Source};

/// The lookup in a table of `cols` columns, a multiple of 4: in rows, or in the fragments of a linear that shares it. `None`
/// where there is no kernel for its format or layout.
pub fn source(format: Format, layout: Layout, cols: u32) -> Option<Source> {
    let stem = match format {
        Format::F32 => "embed_f32",
        Format::F16 => "embed_f16",
        Format::Bf16 => "embed_bf16",
        Format::Fp8E4m3(_) => "embed_fp8",
        Format::Int8 { outliers: false } => "embed_int8",
        Format::Int4 { .. } => "embed_int4",
        Format::Nf4 | Format::Fp4 => "embed_nf4",
        _ => return None,
    };
    let fits = layout != Layout::Rows16 && layout.holds(format, cols.into()) && cols.is_multiple_of(4);
    let mut source = Source::find(stem).filter(|_| fits)?.define("COLS", cols);
    if let Some(group) = format.group() {
        source = source.define("GROUP", group.size());
    }
    let switches = [
        ("FRAGMENTS", layout == Layout::MmaFragments),
        ("TENSOR_SCALE", format == Format::Fp8E4m3(ScaleAxis::Tensor)),
        ("ZERO_POINT", matches!(format, Format::Int4 { zero_point: true, .. })),
        ("FP4", format == Format::Fp4),
    ];
    Some(switches.iter().filter(|(_, on)| *on).fold(source, |source, (name, _)| source.define(name, 1)))
}

/// The same with rows multiplied by `scale`.
pub fn scaled(source: Source, scale: f32) -> Source {
    if scale == 1.0 { source } else { source.define("SCALE_BITS", scale.to_bits()) }
}

/// For so many tokens: a block for each.
pub fn grid(tokens: u32) -> Grid {
    Grid { blocks: [tokens, 1, 1], threads: 128, shared_bytes: 0 }
}
