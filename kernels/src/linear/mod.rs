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
mod tiles;
mod tokens;

pub use crate::args::LinearArgs;
pub use cpu::{Variant, direct, panel, run_at};

use integer::linear as in_integers;

use crate::{
    cost::Work,
    kernel::{Entry, Kernel, OpShape, Tolerance},
};
use samp_abi::{Format, Group, Layout, ScaleAxis, TargetName, plan::OpKind};

/// Sums of f32 over the columns, where inputs and outputs are of order one.
const TOLERANCE: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// How far sums of rounded inputs may lie from the reference: those of a block are off by at most half of a 16,256th of its
/// largest, and levels of nf4 by half of a 2,047th, so that a sum of many such errors is some times their root mean square.
const fn tolerance_in_integers(format: Format) -> Tolerance {
    let absolute = if matches!(format, Format::Nf4) { 2e-3 } else { 4e-4 };
    Tolerance { absolute, relative: 1e-4 }
}

/// The rows of one format over 16-row tiles: one in integers where there is one, and two variants in f32. The first is never
/// slower by the cost model, so that it serves all numbers of tokens, and each with the same bits.
macro_rules! rows16 {
    ($($format:expr => $direct:literal, $panel:literal $(, $integer:literal)?;)*) => {
        &[$(
            $(Kernel {
                tolerance: tolerance_in_integers($format),
                rounds_inputs: true,
                ..rows16!(@row $format, $integer, in_integers, work_in_integers)
            },)?
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
            rounds_inputs: false,
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
    Format::Int8 { outliers: false } => "linear_int8_rows16_direct", "linear_int8_rows16_panel", "linear_int8_rows16_integer";
    Format::Int8 { outliers: true } => "linear_int8_outliers_rows16_direct", "linear_int8_outliers_rows16_panel", "linear_int8_outliers_rows16_integer";
    Format::Int4 { group: Group::G128, zero_point: false } => "linear_int4_rows16_direct", "linear_int4_rows16_panel", "linear_int4_rows16_integer";
    Format::Int4 { group: Group::G128, zero_point: true } => "linear_int4_asym_rows16_direct", "linear_int4_asym_rows16_panel", "linear_int4_asym_rows16_integer";
    Format::Int4 { group: Group::G64, zero_point: false } => "linear_int4_g64_rows16_direct", "linear_int4_g64_rows16_panel", "linear_int4_g64_rows16_integer";
    Format::Int4 { group: Group::G64, zero_point: true } => "linear_int4_g64_asym_rows16_direct", "linear_int4_g64_asym_rows16_panel", "linear_int4_g64_asym_rows16_integer";
    Format::Int5 { group: Group::G128 } => "linear_int5_rows16_direct", "linear_int5_rows16_panel", "linear_int5_rows16_integer";
    Format::Int5 { group: Group::G64 } => "linear_int5_g64_rows16_direct", "linear_int5_g64_rows16_panel", "linear_int5_g64_rows16_integer";
    Format::Int6 { group: Group::G128 } => "linear_int6_rows16_direct", "linear_int6_rows16_panel", "linear_int6_rows16_integer";
    Format::Int6 { group: Group::G64 } => "linear_int6_g64_rows16_direct", "linear_int6_g64_rows16_panel", "linear_int6_g64_rows16_integer";
    Format::Nf4 => "linear_nf4_rows16_direct", "linear_nf4_rows16_panel", "linear_nf4_rows16_integer";
    Format::Fp4 => "linear_fp4_rows16_direct", "linear_fp4_rows16_panel", "linear_fp4_rows16_integer";
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

/// Weights are decoded to words that multiply twice as fast as f32, again for every eight tokens while they are few.
fn work_in_integers(shape: &OpShape) -> Work {
    let decoded = (shape.tokens.div_ceil(8) as f64).min(8.0);
    Work { compute: Format::INT8, ..work(shape, decoded * DECODE, 0.6) }
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
