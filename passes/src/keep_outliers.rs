//! Says which columns a weight in int8 with outliers keeps in f16.
//!
//! Before: `samp.weight {format = "int8_outliers", transforms = ["concat"]}`
//!
//! After: `samp.weight {format = "int8_outliers", transforms = ["concat", "keep_columns(3,17)"]}`
//!
//! Requires: every weight has a format. Ensures: every weight that keeps columns apart says which: those whose input
//! channels were measured to be outliers. Does not: look at inputs; without a measurement the format is refused.

use samp_abi::Format;
use samp_ir::{Diagnostic, Module, OpId, WeightOp};

use crate::error_code;
use crate::{
    Changed, Sensitivities,
    transform::{Transform, append},
};

/// Marks every weight in int8 with outliers.
pub fn keep_outliers(module: &mut Module, known: Option<&Sensitivities>) -> Result<Changed, Diagnostic> {
    let weights = module.views::<WeightOp>().filter(|w| w.format() == Some(Format::INT8_OUTLIERS));
    let kept: Vec<(OpId, Transform)> = weights.map(|w| kept(&w, known)).collect::<Result<_, _>>()?;
    kept.iter().for_each(|(weight, transform)| append(module, *weight, transform));
    Ok(Changed(kept.len()))
}

fn kept(weight: &WeightOp<'_>, known: Option<&Sensitivities>) -> Result<(OpId, Transform), Diagnostic> {
    let columns = known.map_or(&[][..], |known| known.outliers_of(weight.key()));
    if columns.is_empty() {
        let format = Format::INT8_OUTLIERS;
        let message =
            format!("{format} needs to know the outlier columns of the input, and none were measured");
        return Err(Diagnostic::unsupported(error_code::NO_OUTLIERS, message)
            .at_op(weight.key())
            .hint(format!("use int8, or decide by measurements: --calib DATA with {format} in --formats")));
    }
    Ok((weight.id(), Transform::KeepColumns(columns.to_vec())))
}
