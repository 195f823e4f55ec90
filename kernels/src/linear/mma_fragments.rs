//! Rows of the registry for the linear kernels of GPUs, which all read [`Layout::MmaFragments`].

use samp_abi::{ElementType, Format, Group, Layout, ScaleAxis, plan::OpKind};

use super::{cuda::Linear, reference};
use crate::{
    cost::Work,
    cuda::Activation,
    kernel::{CudaKernel, Entry, GPUS, HOPPER_TARGETS, Kernel, LinearKind, OpShape, SIXTEEN_BITS},
    target::Target,
};

/// The rows of some formats: each in every way, for so many tokens at a time, activations of 16 bits and of fp8 apart. Of rows
/// that take the same time, the first wins.
macro_rules! mma_fragments {
    (fp8: $($format:expr => $name:literal;)*) => {
        &[$(
            mma_fragments!(@row $format, $name, "fp8wgmma16", WgmmaFp8, 16, HOPPER_TARGETS),
            mma_fragments!(@row $format, $name, "fp8wgmma32", WgmmaFp8, 32, HOPPER_TARGETS),
            mma_fragments!(@row $format, $name, "fp8wgmma64", WgmmaFp8, 64, HOPPER_TARGETS),
            mma_fragments!(@row $format, $name, "fp8wgmma128", WgmmaFp8, 128, HOPPER_TARGETS),
        )*]
    };
    ($($format:expr => $name:literal;)*) => {
        &[$(
            mma_fragments!(@row $format, $name, "gemv1", Gemv, 1, GPUS),
            mma_fragments!(@row $format, $name, "gemv2", Gemv, 2, GPUS),
            mma_fragments!(@row $format, $name, "wgmma16", Wgmma, 16, HOPPER_TARGETS),
            mma_fragments!(@row $format, $name, "wgmma32", Wgmma, 32, HOPPER_TARGETS),
            mma_fragments!(@row $format, $name, "wgmma64", Wgmma, 64, HOPPER_TARGETS),
            mma_fragments!(@row $format, $name, "wgmma128", Wgmma, 128, HOPPER_TARGETS),
            mma_fragments!(@row $format, $name, "mma8", Mma, 8, GPUS),
            mma_fragments!(@row $format, $name, "mma16", Mma, 16, GPUS),
            mma_fragments!(@row $format, $name, "mma32", Mma, 32, GPUS),
            mma_fragments!(@row $format, $name, "mma64", Mma, 64, GPUS),
        )*]
    };
    (@row $format:expr, $name:literal, $variant:literal, $kind:ident, $tokens:literal, $targets:ident) => {
        Kernel {
            name: concat!("linear_", $name, "_fragments_", $variant),
            op: OpKind::Linear,
            targets: $targets,
            layout: Some(Layout::MmaFragments),
            accepts: |shape, target| {
                shape.format == Some($format) && accepts(LinearKind::$kind, $tokens, shape, target)
            },
            work: |shape| work(LinearKind::$kind, $tokens, shape),
            tolerance: SIXTEEN_BITS,
            entry: Entry::Linear { run: reference::linear, reference: reference::linear },
            cuda: Some(CudaKernel::Linear(LinearKind::$kind, $tokens)),
            rounds_inputs: false,
        }
    };
}

/// Rows of the registry for activations in fp8.
#[cfg(feature = "fp8-activations")]
pub const FP8_KERNELS: &[Kernel] = mma_fragments! { fp8:
    Format::Fp8E4m3(ScaleAxis::Channel) => "fp8_e4m3";
    Format::Fp8E4m3(ScaleAxis::Tensor) => "fp8_e4m3_tensor";
};

/// Rows of the registry for all other activations.
pub const KERNELS: &[Kernel] = mma_fragments! {
    Format::F16 => "f16";
    Format::Bf16 => "bf16";
    Format::Fp8E4m3(ScaleAxis::Channel) => "fp8_e4m3";
    Format::Fp8E4m3(ScaleAxis::Tensor) => "fp8_e4m3_tensor";
    Format::Int8 { outliers: false } => "int8";
    Format::Int4 { group: Group::G128, zero_point: false } => "int4";
    Format::Int4 { group: Group::G128, zero_point: true } => "int4_asym";
    Format::Int4 { group: Group::G64, zero_point: false } => "int4_g64";
    Format::Int4 { group: Group::G64, zero_point: true } => "int4_g64_asym";
    Format::Nf4 => "nf4";
    Format::Fp4 => "fp4";
};

fn accepts(kind: LinearKind, tokens: u32, shape: &OpShape, target: &Target) -> bool {
    let linear = || {
        let sizes = (u32::try_from(shape.rows).ok()?, u32::try_from(shape.cols).ok()?);
        let linear = Linear::new(kind, shape.format?, sizes, tokens)?;
        match kind {
            LinearKind::WgmmaFp8 => (shape.activations == ElementType::U8).then_some(linear),
            _ => linear.with(Activation::from_element(shape.activations)?),
        }
    };
    let tokens_fit = kind != LinearKind::Gemv || shape.tokens <= u64::from(tokens);
    tokens_fit && linear().is_some_and(|linear| linear.shared_bytes() <= target.shared_memory_bytes)
}

/// Weights are read and multiplied once for every `tokens` tokens, missing ones included.
fn work(kind: LinearKind, tokens: u32, shape: &OpShape) -> Work {
    let turns = shape.tokens.div_ceil(tokens.into());
    let padded = (turns * u64::from(tokens)) as f64;
    let format = shape.format.unwrap_or(Format::F16);
    let weights = Layout::MmaFragments.bytes(format, shape.rows, shape.cols) as f64;
    let x_bytes = if kind == LinearKind::WgmmaFp8 { 1.0 } else { 2.0 };
    let activations = x_bytes * padded * shape.cols as f64 + 2.0 * (shape.tokens * shape.rows) as f64;
    // Estimates, for want of a measured table: `mma` cannot fill Hopper's units, and decoding a weight for matrix units
    // takes as long as they take to multiply it by so many tokens. Codes of fp8 only change places.
    let (compute, efficiency, decode) = match kind {
        LinearKind::Gemv => (Format::F32, 0.5, 0.0),
        LinearKind::Mma => (Format::F16, 0.5, 8.0),
        LinearKind::Wgmma => (Format::F16, 0.65, 8.0),
        LinearKind::WgmmaFp8 => (format, 0.65, 4.0),
    };
    Work {
        flops: 2.0 * (padded + decode * turns as f64) * (shape.rows * shape.cols) as f64,
        compute,
        bytes: turns as f64 * weights + activations,
        efficiency,
    }
}
