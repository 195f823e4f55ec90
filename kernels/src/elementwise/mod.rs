//! Operations over rows without a packed weight: addition, SiLU · mul, concatenation, gather.

mod cpu;
pub mod cuda;
pub mod reference;

pub use crate::args::{AddArgs, ConcatArgs, GatherArgs, SiluMulArgs};
pub use cpu::{add, concat, gather, silu_mul, silu_mul_at};

use crate::{
    cost::Work,
    kernel::{CudaKernel, Entry, GPUS, Kernel, OpShape, SIXTEEN_BITS, Tolerance, writes_plain_rows},
};
use samp_abi::{TargetName, plan::OpKind};

#[cfg(feature = "fp8-activations")]
use crate::kernel::fp8_row;

const EXACT: Tolerance = Tolerance { absolute: 0.0, relative: 0.0 };

/// A copy or sum of the host; the rows of the other operations are like it.
const ADD_CPU: Kernel = Kernel {
    name: "add_cpu",
    op: OpKind::Add,
    targets: &[TargetName::Cpu],
    layout: None,
    accepts: |_, _| true,
    work: |shape| rows_work(shape, 1.0, 12.0),
    tolerance: EXACT,
    entry: Entry::Add { run: add, reference: reference::add },
    cuda: None,
    rounds_inputs: false,
};

/// The same of GPUs.
const ADD_CUDA: Kernel = Kernel {
    name: "add_cuda",
    targets: GPUS,
    accepts: |shape, _| shape.rows.is_multiple_of(4),
    work: |shape| rows_work(shape, 1.0, 10.0),
    entry: Entry::Add { run: reference::add, reference: reference::add },
    cuda: Some(CudaKernel::Add),
    ..ADD_CPU
};

const SILU_MUL_CUDA: Kernel = Kernel {
    name: "silu_mul_cuda",
    op: OpKind::SiluMul,
    accepts: writes_plain_rows,
    work: |shape| rows_work(shape, 30.0, 6.0),
    tolerance: SIXTEEN_BITS,
    entry: Entry::SiluMul { run: reference::silu_mul, reference: reference::silu_mul },
    cuda: Some(CudaKernel::SiluMul),
    ..ADD_CUDA
};

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[
    ADD_CPU,
    Kernel {
        name: "silu_mul_cpu",
        op: OpKind::SiluMul,
        work: |shape| rows_work(shape, 30.0, 12.0),
        // The exponential is within 2 units in the last place; below e^-87 the result is about 1e-36 instead of less.
        tolerance: Tolerance { absolute: 1e-30, relative: 1e-6 },
        entry: Entry::SiluMul { run: silu_mul, reference: reference::silu_mul },
        ..ADD_CPU
    },
    Kernel {
        name: "concat_cpu",
        op: OpKind::Concat,
        work: |shape| rows_work(shape, 0.0, 8.0),
        entry: Entry::Concat { run: concat, reference: reference::concat },
        ..ADD_CPU
    },
    Kernel {
        name: "gather_cpu",
        op: OpKind::Gather,
        work: |shape| rows_work(shape, 0.0, 8.0),
        entry: Entry::Gather { run: gather, reference: reference::gather },
        ..ADD_CPU
    },
    ADD_CUDA,
    SILU_MUL_CUDA,
    Kernel {
        name: "concat_cuda",
        op: OpKind::Concat,
        work: |shape| rows_work(shape, 0.0, 4.0),
        entry: Entry::Concat { run: reference::concat, reference: reference::concat },
        cuda: Some(CudaKernel::Concat),
        ..ADD_CUDA
    },
    Kernel {
        name: "gather_cuda",
        op: OpKind::Gather,
        work: |shape| rows_work(shape, 0.0, 8.0),
        entry: Entry::Gather { run: reference::gather, reference: reference::gather },
        cuda: Some(CudaKernel::Gather),
        ..ADD_CUDA
    },
    #[cfg(feature = "fp8-activations")]
    Kernel {
        name: "silu_mul_fp8cuda",
        work: |shape| rows_work(shape, 30.0, 5.0),
        cuda: Some(CudaKernel::SiluMulFp8),
        ..fp8_row(SILU_MUL_CUDA)
    },
];

/// So many operations and bytes for each element of the result.
fn rows_work(shape: &OpShape, flops: f64, bytes: f64) -> Work {
    let elements = (shape.tokens * shape.rows) as f64;
    Work::elementwise(flops * elements, bytes * elements)
}
