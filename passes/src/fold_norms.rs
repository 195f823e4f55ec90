//! Folds norm weights into the linears that read the norm.
//!
//! Before: `%y = samp.rms_norm(%x, %g)`, `%q = samp.linear(%y, %w)`
//!
//! After: `%g` has the transform `ones`, `%w` has `fold_columns(the norm's source)`; the ops stay.
//!
//! Requires: fusion is done. Ensures: the function is the same; rounding then sees the columns as the inputs weigh them.
//! Does not: fold into the head, which keeps 16 bits and may be shared with the embedding, nor into weights with other
//! readers, nor where a reader is no linear.

use samp_ir::{AddRmsNormOp, Diagnostic, LinearOp, Module, OpId, RmsNormOp, ValueId, WeightOp};

use crate::{
    Changed,
    transform::{Transform, append},
};

/// Folds every norm weight that can be folded.
pub fn fold_norms(module: &mut Module) -> Result<Changed, Diagnostic> {
    let alone = module.views::<RmsNormOp>().filter_map(|n| match_norm(module, n.result(0), n.weight()));
    let fused = module.views::<AddRmsNormOp>().filter_map(|n| match_norm(module, n.y(), n.weight()));
    let matches: Vec<Match> = alone.chain(fused).collect();
    for found in &matches {
        rewrite_norm(module, found);
    }
    Ok(Changed(matches.len()))
}

/// A norm whose readers all are linears of the decoder.
struct Match {
    norm: OpId,
    source: String,
    readers: Vec<OpId>,
}

fn match_norm(module: &Module, y: ValueId, norm: WeightOp<'_>) -> Option<Match> {
    let reader = |op: samp_ir::OpRef<'_>| -> Option<OpId> {
        let linear: LinearOp = module.view(op.id())?;
        let (weight, inside) = (linear.weight(), linear.label().starts_with("layers."));
        (inside && module.use_count(weight.value()) == 1).then(|| weight.id())
    };
    let readers: Vec<OpId> = module.users(y).into_iter().map(reader).collect::<Option<_>>()?;
    let [source] = norm.sources()[..] else { return None };
    let own = module.use_count(norm.value()) == 1 && module.output() != Some(y);
    (own && !readers.is_empty()).then(|| Match { norm: norm.id(), source: source.into(), readers })
}

fn rewrite_norm(module: &mut Module, found: &Match) {
    append(module, found.norm, &Transform::Ones);
    let fold = Transform::FoldColumns(found.source.clone());
    found.readers.iter().for_each(|&reader| append(module, reader, &fold));
}
