//! RMS normalisation, alone and fused with the residual addition before it.

mod cpu;
pub mod cuda;
pub mod reference;

pub use crate::args::{AddRmsNormArgs, RmsNormArgs};
pub use cpu::{add_rms_norm, rms_norm};

use crate::{
    cost::Work,
    kernel::{CudaKernel, Entry, GPUS, Kernel, OpShape, SIXTEEN_BITS, Tolerance, writes_plain_rows},
};
use samp_abi::{TargetName, plan::OpKind};

#[cfg(feature = "fp8-activations")]
use crate::kernel::fp8_row;

/// Three roundings to f32: of the scale and of the two products.
const TOLERANCE: Tolerance = Tolerance { absolute: 1e-9, relative: 1e-6 };

const RMS_NORM_CPU: Kernel = Kernel {
    name: "rms_norm_cpu",
    op: OpKind::RmsNorm,
    targets: &[TargetName::Cpu],
    layout: None,
    accepts: |_, _| true,
    work: |shape| work(shape, 2.0),
    tolerance: TOLERANCE,
    entry: Entry::RmsNorm { run: rms_norm, reference: reference::rms_norm },
    cuda: None,
    rounds_inputs: false,
};

const ADD_RMS_NORM_CPU: Kernel = Kernel {
    name: "add_rms_norm_cpu",
    op: OpKind::AddRmsNorm,
    work: |shape| work(shape, 4.0),
    entry: Entry::AddRmsNorm { run: add_rms_norm, reference: reference::add_rms_norm },
    ..RMS_NORM_CPU
};

const RMS_NORM_CUDA: Kernel = Kernel {
    name: "rms_norm_cuda",
    targets: GPUS,
    accepts: writes_plain_rows,
    work: |shape| work(shape, 1.5),
    tolerance: SIXTEEN_BITS,
    entry: Entry::RmsNorm { run: reference::rms_norm, reference: reference::rms_norm },
    cuda: Some(CudaKernel::RmsNorm),
    ..RMS_NORM_CPU
};

const ADD_RMS_NORM_CUDA: Kernel = Kernel {
    name: "add_rms_norm_cuda",
    op: OpKind::AddRmsNorm,
    work: |shape| work(shape, 3.0),
    entry: Entry::AddRmsNorm { run: reference::add_rms_norm, reference: reference::add_rms_norm },
    cuda: Some(CudaKernel::AddRmsNorm),
    ..RMS_NORM_CUDA
};

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[
    RMS_NORM_CPU,
    ADD_RMS_NORM_CPU,
    RMS_NORM_CUDA,
    ADD_RMS_NORM_CUDA,
    #[cfg(feature = "fp8-activations")]
    Kernel {
        name: "rms_norm_fp8cuda",
        work: |shape| work(shape, 1.25),
        cuda: Some(CudaKernel::RmsNormFp8),
        ..fp8_row(RMS_NORM_CUDA)
    },
    #[cfg(feature = "fp8-activations")]
    Kernel {
        name: "add_rms_norm_fp8cuda",
        work: |shape| work(shape, 2.75),
        cuda: Some(CudaKernel::AddRmsNormFp8),
        ..fp8_row(ADD_RMS_NORM_CUDA)
    },
];

/// Reads and writes as much as `arrays` arrays of f32 of the activations' shape, and the norm weight.
fn work(shape: &OpShape, arrays: f64) -> Work {
    let elements = (shape.tokens * shape.rows) as f64;
    Work::elementwise(5.0 * elements, 4.0 * (arrays * elements + shape.rows as f64))
}
