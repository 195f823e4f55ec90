//! Rewrites what the target has no kernel for into what it has.
//!
//! Before, for a target without a kernel for it:
//! ```mlir
//! %sum, %y = samp.add_rms_norm(%x, %residual, %w)
//! ```
//! After:
//! ```mlir
//! %sum = samp.add(%residual, %x)
//! %y = samp.rms_norm(%sum, %w)
//! ```
//! Requires: fusion is done. Ensures: the target has a kernel for each kind of op, or says which is missing. Does not: look at
//! formats or shapes; kernel selection does.

use std::collections::BTreeSet;

use samp_abi::{TargetName, plan::OpKind};
use samp_ir::{AddRmsNormOp, Diagnostic, Module, OpId};
use samp_kernels::registry;

use crate::Changed;
use crate::error_code;

/// The kinds of operation that `target` has kernels for.
pub fn legal_ops(target: TargetName) -> BTreeSet<OpKind> {
    registry::kernels().filter(|k| k.targets.contains(&target)).map(|k| k.op).collect()
}

/// Makes the graph legal for a target that executes `legal` (as [`legal_ops`] gives it).
pub fn legalize(
    module: &mut Module,
    target: TargetName,
    legal: &BTreeSet<OpKind>,
) -> Result<Changed, Diagnostic> {
    let mut changed = 0;
    if !legal.contains(&OpKind::AddRmsNorm) {
        let fused: Vec<OpId> = module.views::<AddRmsNormOp>().map(|op| op.id()).collect();
        fused.iter().for_each(|&op| rewrite_add_rms_norm(module, op));
        changed = fused.len();
    }
    let illegal = module.ops().find(|op| op.kind().plan_kind().is_some_and(|kind| !legal.contains(&kind)));
    match illegal {
        None => Ok(Changed(changed)),
        Some(op) => Err(Diagnostic::unsupported(
            error_code::NO_KERNEL_FOR_OP,
            format!("target {target} has no kernel for {}", op.kind()),
        )
        .at_op(op.label())
        .hint("compile for another target; `samp doctor` lists those that this build knows")),
    }
}

/// Splits a fused norm into the addition and the norm that it is made of.
fn rewrite_add_rms_norm(module: &mut Module, id: OpId) {
    let op: AddRmsNormOp = module.view(id).expect("collected as such");
    let (x, residual, weight, eps) = (op.x(), op.residual(), op.weight().value(), op.eps());
    let (sum, y, label) = (op.sum(), op.y(), op.label().to_owned());
    let mut builder = module.before(id);
    let new_sum = builder.add(&format!("{label}.add"), residual, x);
    let new_y = builder.rms_norm(&label, new_sum, weight, eps);
    module.replace_all_uses(sum, new_sum);
    module.replace_all_uses(y, new_y);
    module.erase(id);
}
