//! What each format costs a matrix of the assignment problem, whole or with its members apart.

use samp_abi::{ElementType, Format, plan::OpKind};
use samp_kernels::{
    kernel::OpShape,
    target::Target,
    timing::{cheapest, predicted_time},
};

use crate::{
    FormatCost, MemberSensitivity, Selection, WeightSensitivity,
    assignment::{Choice, Part},
    formulation::Matrix,
};

/// How choices are priced.
pub struct Pricing<'a> {
    /// What kernels are chosen by.
    pub selection: &'a Selection,
    /// What activations are stored as.
    pub activations: ElementType,
    /// Numbers of tokens that a step is timed over.
    pub tokens: &'a [u64],
    /// Weights of all decoder linears.
    pub decoder_weights: f64,
}

impl Pricing<'_> {
    /// Each format that the target has kernels for at all these numbers of tokens; one with outliers keeps so many columns
    /// apart. `more` is added to its times, if not empty.
    pub fn choices(
        &self,
        matrix: &Matrix,
        (formats, outliers): (&[FormatCost], usize),
        more: &[f64],
    ) -> Vec<Choice> {
        let choice = |cost: &FormatCost| {
            let bytes = matrix.bytes(cost.format, outliers) as f64;
            let bits = if matrix.is_decoder_linear() { 8.0 * bytes / self.decoder_weights } else { 0.0 };
            // A measured divergence may be a little below zero; a plan is no better for it.
            let mut costs = vec![cost.nats.max(0.0), bytes, bits, bytes];
            costs.extend(cost.strata.iter().map(|nats| nats.max(0.0)));
            for (index, &tokens) in self.tokens.iter().enumerate() {
                let time = self.time(matrix.reader, (matrix.rows, matrix.cols, Some(cost.format)), tokens)?;
                costs.push(time + more.get(index).unwrap_or(&0.0));
            }
            Some(Choice { name: cost.format.to_string(), costs })
        };
        formats.iter().filter_map(choice).collect()
    }

    /// The members of a fused matrix, each by itself; the first bears what putting their results together takes. `None` where
    /// they were not measured or the target cannot hold them apart.
    pub fn apart(&self, matrix: &Matrix, measured: &WeightSensitivity) -> Option<Vec<Part>> {
        let together = |tokens: u64| self.time(OpKind::Concat, (matrix.rows, 0, None), tokens);
        together(1)?;
        let together: Vec<f64> = self.tokens.iter().map(|&tokens| together(tokens)).collect::<Option<_>>()?;
        let member = |(index, part): (usize, &MemberSensitivity)| {
            let own = Matrix { key: part.key.clone(), rows: part.rows, ..matrix.clone() };
            let shares: Vec<FormatCost> =
                part.formats.iter().filter_map(|cost| share(cost, measured)).collect();
            let more = if index == 0 { together.as_slice() } else { &[] };
            let choices = self.choices(&own, (&shares, measured.outliers.len()), more);
            (!choices.is_empty()).then_some(Part { name: own.key, choices })
        };
        let members: Vec<Part> = measured.parts.iter().enumerate().map(member).collect::<Option<_>>()?;
        (members.len() > 1).then_some(members)
    }

    /// The predicted time of the fastest kernel; `None` if the target has none.
    fn time(
        &self,
        kind: OpKind,
        (rows, cols, format): (u64, u64, Option<Format>),
        tokens: u64,
    ) -> Option<f64> {
        let Selection { target, context, .. } = *self.selection;
        let shape = OpShape { tokens, rows, cols, format, activations: self.activations, context };
        let target = Target::of(target);
        Some(predicted_time(cheapest(target, kind, shape)?, &shape, target).0)
    }
}

/// What a member loses in a format: its share of what the whole was measured to lose in it. Members that agree lose together
/// what the whole does, so that no difference of two measurements of the same thing counts for a gain.
fn share(cost: &FormatCost, whole: &WeightSensitivity) -> Option<FormatCost> {
    let of = |formats: &[FormatCost]| formats.iter().find(|other| other.format == cost.format).cloned();
    let together = of(&whole.formats)?;
    let members: Vec<FormatCost> = whole.parts.iter().map(|part| of(&part.formats)).collect::<Option<_>>()?;
    let share = |own: f64, together: f64, all: f64| {
        let part = if all > 0.0 { own.max(0.0) / all } else { 1.0 / members.len() as f64 };
        together.max(0.0) * part
    };
    let all = members.iter().map(|member| member.nats.max(0.0)).sum();
    let strata = cost.strata.iter().zip(&together.strata).enumerate().map(|(at, (&own, &together))| {
        share(own, together, members.iter().map(|member| member.strata[at].max(0.0)).sum())
    });
    Some(FormatCost {
        format: cost.format,
        nats: share(cost.nats, together.nats, all),
        strata: strata.collect(),
    })
}
