//! Fuses the gate and up projections into one linear, whose output SiLU · mul reads as one.
//!
//! Before:
//! ```mlir
//! %gate = samp.linear(%x, %wg)   %up = samp.linear(%x, %wu)
//! %y = samp.silu_mul(%gate, %up)
//! ```
//! After:
//! ```mlir
//! %gate_up = samp.linear(%x, %wgu)
//! %y = samp.silu_mul(%gate_up)
//! ```
//! Requires: the model phase. Ensures: every SiLU · mul whose two projections read the same value, and are used for
//! nothing else, has one operand. Does not: fuse SiLU · mul into the linear; that is for a kernel to do.

use samp_ir::{Diagnostic, LinearOp, Module, OpId, SiluMulOp};

use crate::{Changed, fused_linear};

/// Fuses the projections of every SiLU · mul.
pub fn fuse_gate_up(module: &mut Module) -> Result<Changed, Diagnostic> {
    let matches: Vec<Match> = module.views::<SiluMulOp>().filter_map(match_silu_mul).collect();
    for found in &matches {
        rewrite_silu_mul(module, found);
    }
    module.eliminate_dead_ops();
    Ok(Changed(matches.len()))
}

/// A SiLU · mul over two projections of one value.
struct Match {
    silu_mul: OpId,
    projections: [OpId; 2],
    label: String,
    linear_label: String,
}

fn match_silu_mul(silu_mul: SiluMulOp<'_>) -> Option<Match> {
    let module = silu_mul.module();
    let gate: LinearOp = module.defined_by(silu_mul.gate())?;
    let up: LinearOp = module.defined_by(silu_mul.up()?)?;
    let same_width = gate.tensor_type().width() == up.tensor_type().width();
    (same_width && fused_linear::can_fuse(&[gate, up])).then(|| Match {
        silu_mul: silu_mul.id(),
        projections: [gate.id(), up.id()],
        label: silu_mul.label().to_owned(),
        linear_label: gate.label().replace("gate_proj", "gate_up_proj"),
    })
}

fn rewrite_silu_mul(module: &mut Module, found: &Match) {
    let gate_up = fused_linear::fuse(module, found.silu_mul, &found.linear_label, &found.projections);
    let y = module.before(found.silu_mul).silu_mul_fused(&found.label, gate_up);
    let old = module.op(found.silu_mul).result(0);
    module.replace_all_uses(old, y);
}
