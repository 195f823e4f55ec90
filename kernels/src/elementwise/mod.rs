//! Operations over rows without a packed weight: addition, SiLU · mul, concatenation, gather.

mod cpu;
pub mod cuda;
pub mod reference;

pub use cpu::{add, concat, gather, silu_mul, silu_mul_at};

use crate::{
    cost::Work,
    instantiate::CudaKernel,
    registry::{
        Entry, FP8_ROWS, GPUS, HOPPER, Kernel, SIXTEEN_BITS, Shape, Tolerance, writes_fp8_rows,
        writes_plain_rows,
    },
};
use samp_abi::{TargetName, plan::OpKind};

/// `out = a + b`.
pub struct AddArgs<'a> {
    /// First summand.
    pub a: &'a [f32],
    /// Second summand.
    pub b: &'a [f32],
    /// Result.
    pub out: &'a mut [f32],
}

/// `out = silu(gate) · up` for rows `[gate, up]`.
pub struct SiluMulArgs<'a> {
    /// `[tokens, 2·width]`.
    pub gate_up: &'a [f32],
    /// Elements of a result row.
    pub width: usize,
    /// Result `[tokens, width]`.
    pub out: &'a mut [f32],
}

/// `out[t] = parts[0][t] ‖ parts[1][t] ‖ …`.
pub struct ConcatArgs<'a> {
    /// Each `[tokens, width of the part]`.
    pub parts: &'a [&'a [f32]],
    /// Elements of a result row: the parts' widths together.
    pub width: usize,
    /// Result `[tokens, width]`.
    pub out: &'a mut [f32],
}

/// `out[o] = x[rows[o]]`.
pub struct GatherArgs<'a> {
    /// Input `[tokens, width]`.
    pub x: &'a [f32],
    /// Elements of a row.
    pub width: usize,
    /// The rows to take.
    pub rows: &'a [u32],
    /// Result `[rows.len(), width]`.
    pub out: &'a mut [f32],
}

/// Panics unless the sizes fit each other.
fn check_add(args: &AddArgs<'_>) {
    assert!(args.a.len() == args.out.len() && args.b.len() == args.out.len(), "a, b and out differ in size");
}

/// Panics unless the sizes fit each other.
fn check_silu_mul(args: &SiluMulArgs<'_>) {
    let SiluMulArgs { gate_up, width, ref out } = *args;
    assert!(width > 0 && out.len().is_multiple_of(width), "out: {} values, not rows of {width}", out.len());
    assert_eq!(gate_up.len(), 2 * out.len(), "gate_up: expected two values for each of out");
}

/// The width of each part. Panics unless the sizes fit each other.
fn part_widths(args: &ConcatArgs<'_>) -> Vec<usize> {
    let ConcatArgs { parts, width, ref out } = *args;
    assert!(width > 0 && out.len().is_multiple_of(width), "out: {} values, not rows of {width}", out.len());
    let tokens = out.len() / width;
    let widths: Vec<usize> = parts.iter().map(|part| part.len() / tokens.max(1)).collect();
    let whole = parts.iter().zip(&widths).all(|(part, width)| part.len() == tokens * width);
    let fits = whole && (tokens == 0 || widths.iter().sum::<usize>() == width);
    assert!(fits, "parts: {widths:?} wide, not {width} together");
    widths
}

/// Panics unless the sizes fit each other.
fn check_gather(args: &GatherArgs<'_>) {
    let GatherArgs { x, width, rows, ref out } = *args;
    assert!(width > 0 && x.len().is_multiple_of(width), "x: {} values, not rows of {width}", x.len());
    assert_eq!(out.len(), rows.len() * width, "out: expected [{}, {width}]", rows.len());
    let given = x.len() / width;
    assert!(rows.iter().all(|&r| (r as usize) < given), "rows: an index is not below {given}");
}

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
        accepts: |_| true,
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
        accepts: |_| true,
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
        accepts: |_| true,
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
        accepts: |_| true,
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
        accepts: |shape| shape.rows.is_multiple_of(4),
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
        accepts: |shape| shape.rows.is_multiple_of(4),
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
        accepts: |shape| shape.rows.is_multiple_of(4),
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
fn rows_work(shape: &Shape, flops: f64, bytes: f64) -> Work {
    let elements = (shape.tokens * shape.rows) as f64;
    Work::elementwise(flops * elements, bytes * elements)
}
