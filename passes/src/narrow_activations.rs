//! Gives activations the element type that the target's kernels take and give.
//!
//! Before: `%y = samp.linear(%x, %w) : tensor<?x64xf32>`
//!
//! After, on a target that computes in f16: `%y = samp.linear(%x, %w) : tensor<?x64xf16>`
//!
//! Requires: every weight has a format, and the ops are those that the target executes. Ensures: what linears, norms and attention
//! give is of one type, that of plainly stored weights of linears if there are any, since they are exact in no other. Does
//! not: touch the residual stream, whose small summands would be lost beside its large channels, nor the logits.

use samp_abi::{ElementType, Format, TargetName};
use samp_ir::{AddRmsNormOp, Diagnostic, Dtype, LinearOp, Module, OpKind, ValueId, WeightOp};
use samp_kernels::target::Target;

use crate::Changed;
use crate::error_code;

/// Sets the element type of every activation for `target`.
pub fn narrow_activations(module: &mut Module, target: TargetName) -> Result<Changed, Diagnostic> {
    let narrow = activations(module, target)?;
    if narrow == ElementType::F32 {
        return Ok(Changed(0));
    }
    let narrow = Dtype::from_element(narrow).expect("activations are floats");
    let logits = module.output();
    let values: Vec<ValueId> = module.ops().flat_map(narrowed).filter(|v| Some(*v) != logits).collect();
    values.iter().for_each(|&value| module.set_dtype(value, narrow));
    Ok(Changed(values.len()))
}

/// The type of activations that the weights of all linears go with.
fn activations(module: &Module, target: TargetName) -> Result<ElementType, Diagnostic> {
    let row = Target::of(target);
    let weights: Vec<WeightOp<'_>> = module.views::<LinearOp>().map(|linear| linear.weight()).collect();
    let formats: Vec<Format> = weights.iter().filter_map(|weight| weight.format()).collect();
    let of_type = |dtype: &ElementType| {
        weights.iter().find(|weight| weight.format().and_then(Format::plain) == Some(*dtype))
    };
    match row.activations.iter().filter_map(of_type).collect::<Vec<_>>()[..] {
        [first, second, ..] => Err(mixed([first, second], target)),
        _ => Ok(row.activations_beside(&formats)),
    }
}

fn mixed(weights: [&WeightOp<'_>; 2], target: TargetName) -> Diagnostic {
    let [first, second] = weights.map(|weight| (weight.key(), weight.format().expect("seen to have one")));
    let message = format!(
        "target {target}: expected one of {} and {} for all linears, found `{}` in {} and `{}` in {}",
        first.1, second.1, first.0, first.1, second.0, second.1
    );
    Diagnostic::unsupported(error_code::MIXED_ACTIVATIONS, message)
        .at_op(second.0)
        .note(
            "activations are of one type throughout a model, and such a weight is exact only beside its own",
        )
        .hint("choose the same format for both, or one of 8 bits or less for either")
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
            let op: AddRmsNormOp<'_> = samp_ir::View::from_op(op).expect("matched as such");
            vec![op.y()]
        }
        _ => vec![],
    }
}
