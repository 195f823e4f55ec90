//! From the sums over a linear to what each format costs it and its members.

use std::ops::Range;

use samp_kernels::{
    format::RowSource,
    quantize::{MatrixRef, output_energies, output_errors},
};

use super::{
    basis::Basis,
    linear_sums::{LinearSums, reference_error},
};
use crate::{
    certificate::{Divergence, MemberProfile, Sensitivity, WeightProfile},
    quantize::{error::QuantizeError, forward::Forward, sensitivity::trial_rounding::TrialRounding},
};

/// What each format costs a linear.
pub(super) fn linear(
    sums: &LinearSums,
    forward: &Forward,
    basis: &Basis<'_>,
) -> Result<WeightProfile, QuantizeError> {
    let (linear, hessian) = (&sums.linear, &sums.inputs.hessian);
    let values = forward.weights().matrix(linear.weight);
    let (cols, rows) = (hessian.cols(), sums.gradients.len());
    let source = MatrixRef { cols, values: &values };
    let energies = output_energies(&source, rows, hessian);
    let error = reference_error(basis.options, &linear.key, &values, cols)?;
    let error: &dyn RowSource = &MatrixRef { cols, values: &error };
    let reference = Reference::new(sums, &output_energies(error, rows, hessian), basis);
    let statistics = sums.inputs.statistics();
    let outliers = statistics.outlier_columns();
    let trial =
        TrialRounding { linear, values: &values, hessian, outliers: &outliers, options: basis.options };
    let member = |m: &crate::quantize::forward::Member| MemberProfile {
        key: m.key.clone(),
        rows: m.rows as u64,
        formats: vec![],
    };
    let mut parts: Vec<MemberProfile> = linear.members.iter().map(member).collect();
    let mut formats = vec![];
    for format in trial.formats() {
        let errors = output_errors(&source, trial.to(format)?.view(), hessian);
        let relative = |rows: Range<usize>| {
            let sum = |of: &[f64]| of[rows.clone()].iter().sum::<f64>();
            sum(&errors) / sum(&energies).max(f64::MIN_POSITIVE)
        };
        let losses: Vec<Divergence> = reference.losses(sums, &errors);
        let divergence = losses.iter().fold(Divergence::none(), |sum, loss| sum.plus(loss));
        formats.push(Sensitivity { format, output_error: relative(0..rows), divergence });
        for ((part, member), divergence) in parts.iter_mut().zip(&sums.members).zip(losses) {
            let output_error = relative(member.clone());
            part.formats.push(Sensitivity { format, output_error, divergence });
        }
    }
    let (rows, cols, inputs) = (rows as u64, cols as u64, Some(statistics));
    Ok(WeightProfile { key: linear.key.clone(), rows, cols, inputs, formats, parts })
}

/// What the reference rounding loses, by member, as it was summed up token by token and as the approximation has it.
struct Reference {
    losses: Vec<(Divergence, f64)>,
}

impl Reference {
    fn new(sums: &LinearSums, errors: &[f64], basis: &Basis<'_>) -> Reference {
        let members = sums.squares.iter().zip(&sums.members);
        let loss = |squares: &super::row_squares::RowSquares, rows: &Range<usize>| {
            (squares.divergence(basis.tokens), weighted(&sums.gradients, errors, rows))
        };
        Reference { losses: members.map(|(squares, rows)| loss(squares, rows)).collect() }
    }

    /// What a rounding with these squared errors of outputs loses, by member.
    fn losses(&self, sums: &LinearSums, errors: &[f64]) -> Vec<Divergence> {
        let members = self.losses.iter().zip(&sums.members);
        let loss = |((divergence, reference), rows): (&(Divergence, f64), &Range<usize>)| {
            let factor = weighted(&sums.gradients, errors, rows) / reference;
            divergence.scaled(if factor.is_finite() { factor } else { 0.0 })
        };
        members.map(loss).collect()
    }
}

/// `Σ G_ii (E H Eᵀ)_ii` over some outputs.
fn weighted(gradients: &[f64], errors: &[f64], rows: &Range<usize>) -> f64 {
    gradients[rows.clone()].iter().zip(&errors[rows.clone()]).map(|(g, e)| g * e).sum()
}
