//! Says how the weights of linears are rounded.
//!
//! Before: `samp.weight {format = "nf4", transforms = ["concat"]}`
//!
//! After: `samp.weight {format = "nf4", transforms = ["concat", "gptq"]}`
//!
//! Requires: every weight has a format. Ensures: weights that lose precision and are read by linears alone have the
//! transform. Does not: touch weights of 16 or more bits, whose rounding leaves nothing to make up for, or tables that
//! are also embeddings.

use samp_ir::{Diagnostic, Module, OpId, WeightOp};

use crate::{Changed, correct_weights::is_of_linears, quant_options::Rounding, transform::append};

/// Marks every weight that `rounding` is for.
pub fn round_weights(module: &mut Module, rounding: Rounding) -> Result<Changed, Diagnostic> {
    let Some(transform) = rounding.transform() else { return Ok(Changed(0)) };
    let weights: Vec<OpId> = module.views::<WeightOp>().filter(is_rounded).map(|w| w.id()).collect();
    weights.iter().for_each(|&weight| append(module, weight, &transform));
    Ok(Changed(weights.len()))
}

fn is_rounded(weight: &WeightOp<'_>) -> bool {
    is_of_linears(weight) && weight.format().is_some_and(|format| format.code_bits() < 16)
}
