//! The kernel registry: one row for each kernel, in the order in which ties are broken.
//!
//! A kernel that reads a packed weight is called `OP_FORMAT_LAYOUT_VARIANT`, as in `linear_nf4_rows16_integer`; any
//! other `OP_VARIANT`, as in `rms_norm_cpu`. The variant of a kernel of GPUs ends in the tokens that it computes at a time,
//! where that is one of its constants, as in `linear_nf4_fragments_mma16`.

use crate::{
    attention, elementwise, embed,
    kernel::{Kernel, OpShape},
    linear, rms_norm, rope, sample,
    target::Target,
};
use samp_abi::plan::OpKind;

/// Every kernel, in table order.
pub fn kernels() -> impl Iterator<Item = &'static Kernel> {
    [
        embed::KERNELS,
        rms_norm::KERNELS,
        linear::KERNELS,
        linear::mma_fragments::KERNELS,
        #[cfg(feature = "fp8-activations")]
        linear::mma_fragments::FP8_KERNELS,
        rope::KERNELS,
        attention::KERNELS,
        elementwise::KERNELS,
        sample::KERNELS,
    ]
    .into_iter()
    .flatten()
}

/// The kernel of this name.
pub fn find(name: &str) -> Option<&'static Kernel> {
    kernels().find(|k| k.name == name)
}

/// The kernels that compute `op` of this shape on `target`, in table order.
pub fn candidates(target: &Target, op: OpKind, shape: OpShape) -> impl Iterator<Item = &'static Kernel> {
    let computes = move |kernel: &Kernel| kernel.op == op && kernel.targets.contains(&target.name);
    kernels().filter(move |kernel| computes(kernel) && kernel.takes(&shape, target))
}
