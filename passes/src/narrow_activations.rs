//! Gives activations the element type that the target's kernels take and give.
//!
//! Before: `%y = samp.linear(%x, %w) : tensor<?x64xf32>`
//!
//! After, on a target that computes in f16: `%y = samp.linear(%x, %w) : tensor<?x64xf16>`
//!
//! Requires: the ops are those that the target executes. Ensures: what linears, norms and attention give is of the target's type. Does
//! not: touch the residual stream, whose small summands would be lost beside its large channels, nor the logits.

use samp_abi::{ElementType, TargetName};
use samp_ir::{AddRmsNormOp, Dtype, Module, OpKind, ValueId};
use samp_kernels::target::Target;

use crate::Changed;

/// Sets the element type of every activation for `target`.
pub fn narrow_activations(module: &mut Module, target: TargetName) -> Changed {
    let narrow = match Target::of(target).activations {
        ElementType::F16 => Dtype::F16,
        ElementType::Bf16 => Dtype::Bf16,
        _ => return Changed(0),
    };
    let logits = module.output();
    let values: Vec<ValueId> = module.ops().flat_map(narrowed).filter(|v| Some(*v) != logits).collect();
    values.iter().for_each(|&value| module.set_dtype(value, narrow));
    Changed(values.len())
}

/// The results of an op that need not be f32.
fn narrowed(op: samp_ir::OpRef<'_>) -> Vec<ValueId> {
    match op.kind() {
        OpKind::RmsNorm
        | OpKind::Linear
        | OpKind::RopeAppend
        | OpKind::PagedAttention
        | OpKind::SiluMul
        | OpKind::Concat => vec![op.result(0)],
        OpKind::AddRmsNorm => {
            let op: AddRmsNormOp<'_> = samp_ir::View::of(op).expect("matched as such");
            vec![op.y()]
        }
        _ => vec![],
    }
}
