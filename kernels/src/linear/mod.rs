//! Linear layers over encoded weights.

mod cpu;
pub mod cuda;
mod decode;
mod direct;
mod epilogue;
pub mod integer;
pub(crate) mod mma_fragments;
mod panel;
pub mod reference;
mod tokens;

pub use crate::args::LinearArgs;
pub use cpu::{Variant, direct, panel, run_at};

use crate::{
    cost::Work,
    kernel::{Entry, Kernel, OpShape, Tolerance},
};
use samp_abi::{Format, Group, Layout, ScaleAxis, TargetName, plan::OpKind};

/// Sums of f32 over the columns, where inputs and outputs are of order one.
const TOLERANCE: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// The rows of one format: its two variants over 16-row tiles.
macro_rules! rows16 {
    ($($format:expr => $direct:literal, $panel:literal;)*) => {
        &[$(
            rows16!(@row $format, $direct, direct, direct_work),
            rows16!(@row $format, $panel, panel, panel_work),
        )*]
    };
    (@row $format:expr, $name:literal, $run:ident, $work:ident) => {
        Kernel {
            name: $name,
            op: OpKind::Linear,
            targets: &[TargetName::Cpu],
            layout: Some(Layout::Rows16),
            accepts: |shape, _| {
                shape.format == Some($format) && shape.cols.is_multiple_of($format.column_multiple())
            },
            work: $work,
            tolerance: TOLERANCE,
            entry: Entry::Linear { run: $run, reference: reference::linear },
            cuda: None,
        }
    };
}

/// Rows of the registry.
pub const KERNELS: &[Kernel] = rows16! {
    Format::F32 => "linear_f32_rows16_direct", "linear_f32_rows16_panel";
    Format::F16 => "linear_f16_rows16_direct", "linear_f16_rows16_panel";
    Format::Bf16 => "linear_bf16_rows16_direct", "linear_bf16_rows16_panel";
    Format::Fp8E4m3(ScaleAxis::Channel) => "linear_fp8_e4m3_rows16_direct", "linear_fp8_e4m3_rows16_panel";
    Format::Fp8E4m3(ScaleAxis::Tensor) => "linear_fp8_e4m3_tensor_rows16_direct", "linear_fp8_e4m3_tensor_rows16_panel";
    Format::Int8 { outliers: false } => "linear_int8_rows16_direct", "linear_int8_rows16_panel";
    Format::Int8 { outliers: true } => "linear_int8_outliers_rows16_direct", "linear_int8_outliers_rows16_panel";
    Format::Int4 { group: Group::G128, zero_point: false } => "linear_int4_rows16_direct", "linear_int4_rows16_panel";
    Format::Int4 { group: Group::G128, zero_point: true } => "linear_int4_asym_rows16_direct", "linear_int4_asym_rows16_panel";
    Format::Int4 { group: Group::G64, zero_point: false } => "linear_int4_g64_rows16_direct", "linear_int4_g64_rows16_panel";
    Format::Int4 { group: Group::G64, zero_point: true } => "linear_int4_g64_asym_rows16_direct", "linear_int4_g64_asym_rows16_panel";
    Format::Int5 { group: Group::G128 } => "linear_int5_rows16_direct", "linear_int5_rows16_panel";
    Format::Int5 { group: Group::G64 } => "linear_int5_g64_rows16_direct", "linear_int5_g64_rows16_panel";
    Format::Int6 { group: Group::G128 } => "linear_int6_rows16_direct", "linear_int6_rows16_panel";
    Format::Int6 { group: Group::G64 } => "linear_int6_g64_rows16_direct", "linear_int6_g64_rows16_panel";
    Format::Nf4 => "linear_nf4_rows16_direct", "linear_nf4_rows16_panel";
    Format::Fp4 => "linear_fp4_rows16_direct", "linear_fp4_rows16_panel";
};

/// Operations that decoding a weight counts for, beside the two of each multiply–add. This and the efficiencies fit
/// what `benches/linear.rs` measures on AVX-512: the variants meet between 12 and 24 tokens.
const DECODE: f64 = 2.0;

/// Weights are decoded again for every eight tokens.
fn direct_work(shape: &OpShape) -> Work {
    work(shape, shape.tokens.div_ceil(8) as f64 * DECODE, 0.5)
}

/// Weights are decoded once, written to the panel and read back, and inputs are packed.
fn panel_work(shape: &OpShape) -> Work {
    work(shape, 8.0 * DECODE, 0.65)
}

/// `overhead` operations for each weight beside the multiply–adds; every byte of weights and activations moves once.
fn work(shape: &OpShape, overhead: f64, efficiency: f64) -> Work {
    let (tokens, weights) = (shape.tokens as f64, (shape.rows * shape.cols) as f64);
    let format = shape.format.unwrap_or(Format::F32);
    let bytes = Layout::Rows16.bytes(format, shape.rows, shape.cols) as f64;
    Work {
        flops: weights * (2.0 * tokens + overhead),
        compute: Format::F32,
        bytes: bytes + 4.0 * tokens * (shape.rows + shape.cols) as f64,
        efficiency,
    }
}
