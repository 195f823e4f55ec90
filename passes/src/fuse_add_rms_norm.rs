//! Fuses a residual addition with the RMSNorm that reads its sum.
//!
//! Before:
//! ```mlir
//! %sum = samp.add(%residual, %x)
//! %y = samp.rms_norm(%sum, %w)
//! ```
//! After:
//! ```mlir
//! %sum, %y = samp.add_rms_norm(%x, %residual, %w)
//! ```
//! Requires: the model phase. Ensures: no RMSNorm reads an addition directly. Does not: look through the gather before the
//! final norm, so that the last addition stays alone.

use samp_ir::{AddOp, Diagnostic, Module, OpId, RmsNormOp};

use crate::Changed;

/// Fuses every RMSNorm with the addition before it.
pub fn fuse_add_rms_norm(module: &mut Module) -> Result<Changed, Diagnostic> {
    let matches: Vec<Match> = module.views::<RmsNormOp>().filter_map(match_norm).collect();
    for found in &matches {
        rewrite_norm(module, found);
    }
    module.eliminate_dead_ops();
    Ok(Changed(matches.len()))
}

/// A norm and the addition before it. Operands are read when they are rewritten, for the sum of one match is a summand
/// of the next.
struct Match {
    add: OpId,
    norm: OpId,
}

fn match_norm(norm: RmsNormOp<'_>) -> Option<Match> {
    let add: AddOp = norm.module().defined_by(norm.x())?;
    (norm.heads() == 1).then(|| Match { add: add.id(), norm: norm.id() })
}

fn rewrite_norm(module: &mut Module, found: &Match) {
    let (add, norm): (AddOp, RmsNormOp) =
        (module.view(found.add).expect("an addition"), module.view(found.norm).expect("a norm"));
    let summands = [add.b(), add.a()];
    let (old_sum, old_y) = (add.result(0), norm.result(0));
    let (label, weight, eps) = (norm.label().to_owned(), norm.weight().value(), norm.eps());
    let (sum, y) = module.before(found.norm).add_rms_norm(&label, summands, weight, eps);
    module.replace_all_uses(old_y, y);
    module.replace_all_uses(old_sum, sum);
}
