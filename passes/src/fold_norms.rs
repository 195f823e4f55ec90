//! Folds norm weights into the linears that read the norm.
//!
//! Before: `%y = samp.rms_norm(%x, %g)`, `%q = samp.linear(%y, %w)`
//!
//! After: `%g` has the transform `ones`, `%w` has `fold_columns(the norm's source)`; the ops stay.
//!
//! Requires: fusion is done. Ensures: the function is the same; rounding then sees the columns as the inputs weigh them.
//! Does not: fold into the head, which keeps 16 bits and may be shared with the embedding (`rotate` does where it has
//! to), nor into weights with other readers, nor where a reader is no linear.

use samp_ir::{AddRmsNormOp, Diagnostic, LinearOp, Module, OpId, RmsNormOp, ValueId, WeightOp};

use crate::{
    Changed,
    transform::{Transform, append},
};

/// Folds every norm weight that can be folded.
pub fn fold_norms(module: &mut Module) -> Result<Changed, Diagnostic> {
    let alone = module.views::<RmsNormOp>().filter_map(|n| match_norm(module, n.result(0), n.weight()));
    let fused = module.views::<AddRmsNormOp>().filter_map(|n| match_norm(module, n.y(), n.weight()));
    let matches: Vec<Match> = alone.chain(fused).filter(|found| found.inside).collect();
    for found in &matches {
        rewrite_norm(module, found);
    }
    Ok(Changed(matches.len()))
}

/// A norm whose readers all are linears.
pub(crate) struct Match {
    norm: OpId,
    source: String,
    /// The weights of the linears.
    pub readers: Vec<OpId>,
    /// Whether all of them are of the decoder.
    inside: bool,
}

pub(crate) fn match_norm(module: &Module, y: ValueId, norm: WeightOp<'_>) -> Option<Match> {
    let linears: Vec<LinearOp<'_>> =
        module.users(y).into_iter().map(|op| module.view(op.id())).collect::<Option<_>>()?;
    let alone = |weight: &WeightOp<'_>| module.use_count(weight.value()) == 1;
    let own = linears.iter().all(|linear| alone(&linear.weight())) && alone(&norm);
    let [source] = norm.sources()[..] else { return None };
    (own && !linears.is_empty() && module.output() != Some(y)).then(|| Match {
        norm: norm.id(),
        source: source.into(),
        readers: linears.iter().map(|linear| linear.weight().id()).collect(),
        inside: linears.iter().all(|linear| linear.label().starts_with("layers.")),
    })
}

pub(crate) fn rewrite_norm(module: &mut Module, found: &Match) {
    append(module, found.norm, &Transform::Ones);
    let fold = Transform::FoldColumns(found.source.clone());
    found.readers.iter().for_each(|&reader| append(module, reader, &fold));
}
