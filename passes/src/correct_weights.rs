//! Says which weights make up for what rounding those before them changed.
//!
//! Before: `samp.weight {transforms = ["concat"]}`
//!
//! After: `samp.weight {transforms = ["concat", "correct"]}`
//!
//! Requires: fusion is done. Ensures: every weight that linears alone read is corrected, the head and weights of 16 bits
//! too: they lose nothing themselves, but what comes to them has changed. Does not: touch tables that are also
//! embeddings, or correct anything: that takes the rounded weights before.

use samp_ir::{Diagnostic, LinearOp, Module, OpId, WeightOp};

use crate::{
    Changed,
    transform::{Transform, append},
};

/// Marks every weight of a linear.
pub fn correct_weights(module: &mut Module) -> Result<Changed, Diagnostic> {
    let weights: Vec<OpId> = module.views::<WeightOp>().filter(is_of_linears).map(|w| w.id()).collect();
    weights.iter().for_each(|&weight| append(module, weight, &Transform::Correct));
    Ok(Changed(weights.len()))
}

/// Whether linears alone read a weight, as their matrix.
pub(crate) fn is_of_linears(weight: &WeightOp<'_>) -> bool {
    let module = weight.module();
    let reads = |linear: LinearOp<'_>| linear.weight().id() == weight.id();
    module.users(weight.value()).iter().all(|op| module.view(op.id()).is_some_and(reads))
}
