//! RMS normalisation, alone and fused with the residual addition before it.

mod cpu;
pub mod cuda;
pub mod reference;

pub use cpu::{add_rms_norm, rms_norm};

use crate::{
    cost::Work,
    instantiate::CudaKernel,
    registry::{
        Entry, FP8_ROWS, GPUS, HOPPER, Kernel, SIXTEEN_BITS, Shape, Tolerance, writes_fp8_rows,
        writes_plain_rows,
    },
};
use samp_abi::{TargetName, plan::OpKind};

/// `out[t] = x[t] / sqrt(mean(x[t]²) + eps) · weight`; rows are `weight.len()` wide.
pub struct RmsNormArgs<'a> {
    /// Input `[tokens, width]`.
    pub x: &'a [f32],
    /// Norm weight `[width]`.
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub eps: f64,
    /// Result `[tokens, width]`.
    pub out: &'a mut [f32],
}

/// `sum = x + residual`, then `out = rms_norm(sum)`. `sum` holds the residual on entry.
pub struct AddRmsNormArgs<'a> {
    /// First summand `[tokens, width]`.
    pub x: &'a [f32],
    /// The residual on entry, the sum on return `[tokens, width]`.
    pub sum: &'a mut [f32],
    /// Norm weight `[width]`.
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub eps: f64,
    /// The normalised sum `[tokens, width]`.
    pub out: &'a mut [f32],
}

/// Panics unless the sizes fit each other; returns the width of a row.
fn check(x: &[f32], weight: &[f32], out: &[f32]) -> usize {
    let width = weight.len();
    assert!(width > 0 && x.len().is_multiple_of(width), "x: {} values, not rows of {width}", x.len());
    assert_eq!(out.len(), x.len(), "out: expected as many values as x");
    width
}

/// Three roundings to f32: of the scale and of the two products.
const TOLERANCE: Tolerance = Tolerance { absolute: 1e-9, relative: 1e-6 };

const RMS_NORM_CUDA: Kernel = Kernel {
    name: "rms_norm_cuda",
    op: OpKind::RmsNorm,
    targets: GPUS,
    layout: None,
    accepts: writes_plain_rows,
    work: |shape| work(shape, 1.5),
    tolerance: SIXTEEN_BITS,
    entry: Entry::RmsNorm { run: reference::rms_norm, reference: reference::rms_norm },
    cuda: Some(CudaKernel::RmsNorm),
};

const ADD_RMS_NORM_CUDA: Kernel = Kernel {
    name: "add_rms_norm_cuda",
    op: OpKind::AddRmsNorm,
    targets: GPUS,
    layout: None,
    accepts: writes_plain_rows,
    work: |shape| work(shape, 3.0),
    tolerance: SIXTEEN_BITS,
    entry: Entry::AddRmsNorm { run: reference::add_rms_norm, reference: reference::add_rms_norm },
    cuda: Some(CudaKernel::AddRmsNorm),
};

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[
    Kernel {
        name: "rms_norm_cpu",
        op: OpKind::RmsNorm,
        targets: &[TargetName::Cpu],
        layout: None,
        accepts: |_| true,
        work: |shape| work(shape, 2.0),
        tolerance: TOLERANCE,
        entry: Entry::RmsNorm { run: rms_norm, reference: reference::rms_norm },
        cuda: None,
    },
    Kernel {
        name: "add_rms_norm_cpu",
        op: OpKind::AddRmsNorm,
        targets: &[TargetName::Cpu],
        layout: None,
        accepts: |_| true,
        work: |shape| work(shape, 4.0),
        tolerance: TOLERANCE,
        entry: Entry::AddRmsNorm { run: add_rms_norm, reference: reference::add_rms_norm },
        cuda: None,
    },
    RMS_NORM_CUDA,
    ADD_RMS_NORM_CUDA,
    Kernel {
        name: "rms_norm_fp8cuda",
        targets: HOPPER,
        accepts: writes_fp8_rows,
        work: |shape| work(shape, 1.25),
        tolerance: FP8_ROWS,
        cuda: Some(CudaKernel::RmsNormFp8),
        ..RMS_NORM_CUDA
    },
    Kernel {
        name: "add_rms_norm_fp8cuda",
        targets: HOPPER,
        accepts: writes_fp8_rows,
        work: |shape| work(shape, 2.75),
        tolerance: FP8_ROWS,
        cuda: Some(CudaKernel::AddRmsNormFp8),
        ..ADD_RMS_NORM_CUDA
    },
];

/// Reads and writes as much as `arrays` arrays of f32 of the activations' shape, and the norm weight.
fn work(shape: &Shape, arrays: f64) -> Work {
    let elements = (shape.tokens * shape.rows) as f64;
    Work::elementwise(5.0 * elements, 4.0 * (arrays * elements + shape.rows as f64))
}
