//! Embedding lookup.

mod cpu;
pub mod cuda;
pub mod reference;

pub use cpu::embed;

use crate::{
    cost::Work,
    encoded::EncodedRef,
    instantiate::CudaKernel,
    registry::{Entry, GPUS, Kernel, Tolerance},
};
use samp_abi::{Format, Layout, TargetName, plan::OpKind};

/// `out[t] = weight[token_ids[t]]`.
pub struct EmbedArgs<'a> {
    /// Token ids, each less than `weight.rows`.
    pub token_ids: &'a [u32],
    /// Table `[vocab, hidden]`, any format and layout.
    pub weight: EncodedRef<'a>,
    /// Result `[tokens, hidden]`.
    pub out: &'a mut [f32],
}

/// Panics unless the sizes fit each other.
fn check(args: &EmbedArgs<'_>) {
    if let Err(error) = args.weight.check() {
        panic!("weight: {error}");
    }
    let (tokens, rows, cols) = (args.token_ids.len(), args.weight.rows, args.weight.cols);
    assert!(cols > 0 && args.out.len() == tokens * cols, "out: expected [{tokens}, {cols}]");
    assert!(args.token_ids.iter().all(|&id| (id as usize) < rows), "token_ids: an id is not below {rows}");
}

/// Rows of the registry.
pub const KERNELS: &[Kernel] = &[CPU, CUDA];

const CPU: Kernel = Kernel {
    name: "embed_cpu",
    op: OpKind::Embed,
    targets: &[TargetName::Cpu],
    layout: None,
    accepts: |_| true,
    work: |shape| {
        let elements = (shape.tokens * shape.cols) as f64;
        let bits = shape.format.unwrap_or(Format::F32).code_bits() as f64;
        Work::elementwise(elements, elements * (4.0 + bits / 8.0))
    },
    tolerance: Tolerance { absolute: 0.0, relative: 0.0 },
    entry: Entry::Embed { run: embed, reference: reference::embed },
    cuda: None,
};

/// Looks up in tables of the formats that linears read too, in their layout or in rows.
const CUDA: Kernel = Kernel {
    name: "embed_cuda",
    targets: GPUS,
    accepts: |shape| {
        let source = |format| cuda::source(format, Layout::RowMajor, u32::try_from(shape.cols).ok()?);
        shape.format.and_then(source).is_some()
    },
    entry: Entry::Embed { run: reference::embed, reference: reference::embed },
    cuda: Some(CudaKernel::Embed),
    ..CPU
};
