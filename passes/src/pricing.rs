//! What each format costs a matrix of the assignment problem, fused or with its members split.

use samp_abi::{ElementType, Format, plan::OpKind};
use samp_kernels::kernel::OpShape;

use crate::{
    FormatCost, MemberSensitivity, Selection, WeightSensitivity,
    assignment::{Choice, Costs, Member, Resource},
    matrix::Matrix,
};

/// How choices are priced.
pub struct Pricing<'a> {
    /// What kernels are chosen by.
    pub selection: &'a Selection,
    /// What activations are stored as.
    pub activations: ElementType,
    /// The losses of the strata, in the order of [`FormatCost::strata`].
    pub strata: &'a [Resource],
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
        formats: &[FormatCost],
        outliers: usize,
        more: &[f64],
    ) -> Vec<Choice> {
        let choice = |cost: &FormatCost| {
            let bytes = matrix.bytes(cost.format, outliers) as f64;
            let bits = if matrix.is_decoder_linear() { 8.0 * bytes / self.decoder_weights } else { 0.0 };
            // A measured divergence may be a little below zero; a plan is no better for it.
            let mut costs = Costs::from_iter([
                (Resource::Loss, cost.nats.max(0.0)),
                (Resource::WeightBytes, bytes),
                (Resource::BitsPerWeight, bits),
                (Resource::DeviceBytes, bytes),
            ]);
            costs.extend(self.strata.iter().cloned().zip(cost.strata.iter().map(|nats| nats.max(0.0))));
            for (index, &tokens) in self.tokens.iter().enumerate() {
                let time = self.matrix_time(matrix, cost.format, tokens)?;
                let time = time + more.get(index).unwrap_or(&0.0);
                costs.extend([(Resource::StepTime { tokens }, time)]);
            }
            Some(Choice { format: cost.format, costs })
        };
        formats.iter().filter_map(choice).collect()
    }

    /// The members of a fused matrix, each by itself; the first bears what putting their results together takes. `None` where
    /// they were not measured or the target cannot hold them split.
    pub fn split(&self, matrix: &Matrix, measured: &WeightSensitivity) -> Option<Vec<Member>> {
        let concat = |tokens: u64| self.concat_time(matrix.rows, tokens);
        concat(1)?;
        let concat: Vec<f64> = self.tokens.iter().map(|&tokens| concat(tokens)).collect::<Option<_>>()?;
        let member = |(index, member): (usize, &MemberSensitivity)| {
            let own = Matrix { key: member.key.clone(), rows: member.rows, ..matrix.clone() };
            let shares: Vec<FormatCost> =
                member.formats.iter().filter_map(|cost| share(cost, measured)).collect();
            let more = if index == 0 { concat.as_slice() } else { &[] };
            let choices = self.choices(&own, &shares, measured.outliers.len(), more);
            (!choices.is_empty()).then_some(Member { name: own.key, choices })
        };
        let members: Vec<Member> = measured.members.iter().enumerate().map(member).collect::<Option<_>>()?;
        (members.len() > 1).then_some(members)
    }

    /// What the matrix's reader takes for so many tokens.
    fn matrix_time(&self, matrix: &Matrix, format: Format, tokens: u64) -> Option<f64> {
        let shape = OpShape::with_weight(matrix.rows, matrix.cols, format, self.activations);
        self.time(matrix.reader, shape.at(tokens, self.selection.context))
    }

    /// What it takes to put together so many rows of the results of split members.
    fn concat_time(&self, rows: u64, tokens: u64) -> Option<f64> {
        let shape = OpShape::over_rows(rows, self.activations);
        self.time(OpKind::Concat, shape.at(tokens, self.selection.context))
    }

    /// The nanoseconds that the fastest kernel takes by prediction; `None` if the target has none.
    fn time(&self, kind: OpKind, shape: OpShape) -> Option<f64> {
        self.selection.candidates(kind, shape).map(|(_, time)| time.0).min_by(f64::total_cmp)
    }
}

/// What a member loses in a format: its share of what the fused matrix was measured to lose in it. Members that agree lose
/// together what the fused matrix does, so that no difference of two measurements of the same thing counts for a gain.
fn share(cost: &FormatCost, fused: &WeightSensitivity) -> Option<FormatCost> {
    let of = |formats: &[FormatCost]| formats.iter().find(|other| other.format == cost.format).cloned();
    let together = of(&fused.formats)?;
    let members: Vec<FormatCost> =
        fused.members.iter().map(|member| of(&member.formats)).collect::<Option<_>>()?;
    let share = |own: f64, together: f64, all: f64| {
        let fraction = if all > 0.0 { own.max(0.0) / all } else { 1.0 / members.len() as f64 };
        together.max(0.0) * fraction
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
