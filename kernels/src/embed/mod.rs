//! Embedding lookup.

mod cpu;
pub mod cuda;
pub mod reference;

pub use crate::args::EmbedArgs;
pub use cpu::embed;

use crate::{
    cost::Work,
    kernel::{CudaKernel, Entry, GPUS, Kernel, Tolerance},
};
use samp_abi::{Format, Layout, TargetName, plan::OpKind};

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[CPU, CUDA];

const CPU: Kernel = Kernel {
    name: "embed_cpu",
    op: OpKind::Embed,
    targets: &[TargetName::Cpu],
    layout: None,
    accepts: |_, _| true,
    work: |shape| {
        let elements = (shape.tokens * shape.cols) as f64;
        let bits = shape.format.unwrap_or(Format::F32).code_bits() as f64;
        Work::elementwise(elements, elements * (4.0 + bits / 8.0))
    },
    tolerance: Tolerance { absolute: 0.0, relative: 0.0 },
    entry: Entry::Embed { run: embed, reference: reference::embed },
    cuda: None,
    rounds_inputs: false,
};

/// Looks up in tables of the formats that linears read too, in their layout or in rows.
const CUDA: Kernel = Kernel {
    name: "embed_cuda",
    targets: GPUS,
    accepts: |shape, _| {
        let source = |format| cuda::source(format, Layout::RowMajor, u32::try_from(shape.cols).ok()?);
        shape.format.and_then(source).is_some()
    },
    entry: Entry::Embed { run: reference::embed, reference: reference::embed },
    cuda: Some(CudaKernel::Embed),
    ..CPU
};
