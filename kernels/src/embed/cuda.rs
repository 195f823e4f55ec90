//! Embedding kernels of GPUs: how sources are specialised, and what launching them takes.
//!
//! Arguments, in order: token ids (i32), the arrays of the table in row-major layout in the order of
//! [`Layout::components`](samp_abi::Layout::components), out (f32 `[tokens, cols]`), tokens (i32).

use samp_abi::{Format, Layout, ScaleAxis};

use crate::cuda::{Grid, Source};

/// The lookup in a table of `cols` columns, a multiple of 4. `None` where there is no kernel for its format or layout.
pub fn source(format: Format, layout: Layout, cols: u32) -> Option<Source> {
    let stem = match format {
        Format::F32 => "embed_f32",
        Format::F16 => "embed_f16",
        Format::Bf16 => "embed_bf16",
        Format::Fp8E4m3(_) => "embed_fp8",
        Format::Nf4 => "embed_nf4",
        _ => return None,
    };
    let fits = layout == Layout::RowMajor && cols.is_multiple_of(4);
    let source = Source::of(stem).filter(|_| fits)?.define("COLS", cols);
    let one_scale = format == Format::Fp8E4m3(ScaleAxis::Tensor);
    Some(if one_scale { source.define("TENSOR_SCALE", 1) } else { source })
}

/// For so many tokens: a block for each.
pub fn grid(tokens: u32) -> Grid {
    Grid { blocks: [tokens, 1, 1], threads: 128, shared_bytes: 0 }
}
