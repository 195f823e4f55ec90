//! Operations over rows without a packed weight: addition, SiLU · mul, concatenation, gather.

mod cpu;
pub mod cuda;
pub mod reference;

pub use crate::args::{AddArgs, ConcatArgs, GatherArgs, SiluMulArgs};
pub use cpu::{add, concat, gather, silu_mul, silu_mul_at};

use crate::{
    cost::Work,
    kernel::{
        CudaKernel, Entry, FP8_ROWS, GPUS, HOPPER, Kernel, OpShape, SIXTEEN_BITS, Tolerance, writes_fp8_rows,
        writes_plain_rows,
    },
};
use samp_abi::{TargetName, plan::OpKind};

const EXACT: Tolerance = Tolerance { absolute: 0.0, relative: 0.0 };

const SILU_MUL_CUDA: Kernel = Kernel {
    name: "silu_mul_cuda",
    op: OpKind::SiluMul,
    targets: GPUS,
    layout: None,
    accepts: writes_plain_rows,
    work: |shape| rows_work(shape, 30.0, 6.0),
    tolerance: SIXTEEN_BITS,
    entry: Entry::SiluMul { run: reference::silu_mul, reference: reference::silu_mul },
    cuda: Some(CudaKernel::SiluMul),
};

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[
    Kernel {
        name: "add_cpu",
        op: OpKind::Add,
        targets: &[TargetName::Cpu],
        layout: None,
        accepts: |_, _| true,
        work: |shape| rows_work(shape, 1.0, 12.0),
        tolerance: EXACT,
        entry: Entry::Add { run: add, reference: reference::add },
        cuda: None,
    },
    Kernel {
        name: "silu_mul_cpu",
        op: OpKind::SiluMul,
        targets: &[TargetName::Cpu],
        layout: None,
        accepts: |_, _| true,
        work: |shape| rows_work(shape, 30.0, 12.0),
        // The exponential is within 2 units in the last place; below e^-87 the result is about 1e-36 instead of less.
        tolerance: Tolerance { absolute: 1e-30, relative: 1e-6 },
        entry: Entry::SiluMul { run: silu_mul, reference: reference::silu_mul },
        cuda: None,
    },
    Kernel {
        name: "concat_cpu",
        op: OpKind::Concat,
        targets: &[TargetName::Cpu],
        layout: None,
        accepts: |_, _| true,
        work: |shape| rows_work(shape, 0.0, 8.0),
        tolerance: EXACT,
        entry: Entry::Concat { run: concat, reference: reference::concat },
        cuda: None,
    },
    Kernel {
        name: "gather_cpu",
        op: OpKind::Gather,
        targets: &[TargetName::Cpu],
        layout: None,
        accepts: |_, _| true,
        work: |shape| rows_work(shape, 0.0, 8.0),
        tolerance: EXACT,
        entry: Entry::Gather { run: gather, reference: reference::gather },
        cuda: None,
    },
    Kernel {
        name: "add_cuda",
        op: OpKind::Add,
        targets: GPUS,
        layout: None,
        accepts: |shape, _| shape.rows.is_multiple_of(4),
        work: |shape| rows_work(shape, 1.0, 10.0),
        tolerance: EXACT,
        entry: Entry::Add { run: reference::add, reference: reference::add },
        cuda: Some(CudaKernel::Add),
    },
    SILU_MUL_CUDA,
    Kernel {
        name: "concat_cuda",
        op: OpKind::Concat,
        targets: GPUS,
        layout: None,
        accepts: |shape, _| shape.rows.is_multiple_of(4),
        work: |shape| rows_work(shape, 0.0, 4.0),
        tolerance: EXACT,
        entry: Entry::Concat { run: reference::concat, reference: reference::concat },
        cuda: Some(CudaKernel::Concat),
    },
    Kernel {
        name: "gather_cuda",
        op: OpKind::Gather,
        targets: GPUS,
        layout: None,
        accepts: |shape, _| shape.rows.is_multiple_of(4),
        work: |shape| rows_work(shape, 0.0, 8.0),
        tolerance: EXACT,
        entry: Entry::Gather { run: reference::gather, reference: reference::gather },
        cuda: Some(CudaKernel::Gather),
    },
    Kernel {
        name: "silu_mul_fp8cuda",
        targets: HOPPER,
        accepts: writes_fp8_rows,
        work: |shape| rows_work(shape, 30.0, 5.0),
        tolerance: FP8_ROWS,
        cuda: Some(CudaKernel::SiluMulFp8),
        ..SILU_MUL_CUDA
    },
];

/// So many operations and bytes for each element of the result.
fn rows_work(shape: &OpShape, flops: f64, bytes: f64) -> Work {
    let elements = (shape.tokens * shape.rows) as f64;
    Work::elementwise(flops * elements, bytes * elements)
}
