//! The assignment problem of a model: what each format that was measured costs each of its matrices.

use samp_abi::{Format, TargetName};
use samp_ir::Diagnostic;
use samp_kernels::cost::Nanos;

use crate::error_code;
use crate::{
    FormatCost, Selection, Sensitivities,
    assignment::{Alternative, Choice, Costs, Group, GroupChoice, Member, Problem, Resource, Solution},
    matrix::Matrix,
    pricing::Pricing,
};

/// Everything but the matrices, with the KV cache in one of the formats that it may have.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedCosts {
    /// The KV cache's format and its loss; no strata where the loss was not measured.
    pub kv: FormatCost,
    /// Bytes of norms and biases.
    pub bytes: u64,
    /// Bytes on the device that are no weights: KV cache and activation arena.
    pub device_bytes: u64,
    /// Time of the ops without matrices, one for each number of tokens.
    pub times: Vec<Nanos>,
}

/// The assignment problem of a model.
#[derive(Clone, Debug)]
pub struct Formulation {
    /// One group for each matrix, in the order given, and one for the KV cache with everything else. A fused matrix whose
    /// members were measured can also be held split.
    pub problem: Problem,
}

/// The group of the KV cache, which also counts what no choice changes; it is a problem's last.
pub(crate) const KV: &str = "KV cache";

/// The problem of choosing a measured format for each matrix, and one of `fixed`. Its resources are the loss, the bytes
/// of the weights and of the device, bits per weight, the loss of each stratum, and the time of a step over each of
/// `tokens`. A format that no kernel of the target takes is no choice.
pub fn formulate(
    matrices: &[Matrix],
    fixed: &[FixedCosts],
    known: &Sensitivities,
    tokens: &[u64],
    selection: &Selection,
) -> Result<Formulation, Diagnostic> {
    let strata: Vec<Resource> = known.strata.iter().map(|name| Resource::stratum_loss(name)).collect();
    let mut resources =
        vec![Resource::Loss, Resource::WeightBytes, Resource::BitsPerWeight, Resource::DeviceBytes];
    resources.extend(strata.iter().cloned());
    resources.extend(tokens.iter().map(|&tokens| Resource::StepTime { tokens }));
    let decoder = matrices.iter().filter(|m| m.is_decoder_linear());
    let decoder_weights = decoder.map(|m| (m.rows * m.cols) as f64).sum();
    let activations = known.activations(matrices, selection.target);
    let (measured_in, known) = (known, known.clone().supported_by(matrices, selection.target));
    let pricing = Pricing { selection, activations, strata: &strata, tokens, decoder_weights };
    let mut groups = vec![];
    for matrix in matrices {
        let measured = known.weights.iter().find(|w| w.key == matrix.key);
        let measured = measured.ok_or_else(|| unmeasured(&matrix.key))?;
        let choices = pricing.choices(matrix, &measured.formats, measured.outliers.len(), &[]);
        if choices.is_empty() {
            return Err(not_supported(&matrix.key, measured_in, selection.target));
        }
        let group = Group::new(&matrix.key, choices);
        groups.push(match pricing.split(matrix, measured) {
            Some(members) => group.or_split(members),
            None => group,
        });
    }
    groups.push(Group::new(KV, fixed.iter().map(|fixed| fixed.choice(&strata, tokens)).collect()));
    Ok(Formulation { problem: Problem { resources, groups } })
}

impl FixedCosts {
    fn choice(&self, strata: &[Resource], tokens: &[u64]) -> Choice {
        let bytes = self.bytes as f64;
        let mut costs = Costs::from_iter([
            (Resource::Loss, self.kv.nats.max(0.0)),
            (Resource::WeightBytes, bytes),
            (Resource::BitsPerWeight, 0.0),
            (Resource::DeviceBytes, bytes + self.device_bytes as f64),
        ]);
        let nats = |at: usize| self.kv.strata.get(at).map_or(0.0, |nats| nats.max(0.0));
        costs.extend(strata.iter().enumerate().map(|(at, stratum)| (stratum.clone(), nats(at))));
        let times = tokens.iter().zip(&self.times);
        costs.extend(times.map(|(&tokens, time)| (Resource::StepTime { tokens }, time.0)));
        Choice { format: self.kv.format, costs }
    }
}

impl Formulation {
    /// The format of each matrix in a solution, or of each member of one that is split. Members that agree are one.
    pub fn formats(&self, solution: &Solution) -> Vec<(String, Format)> {
        let matrices = self.problem.groups.iter().zip(&solution.chosen).filter(|(group, _)| group.name != KV);
        let formats_of = |(group, chosen): (&Group, &GroupChoice)| {
            let members = group.alternatives[chosen.alternative].members.iter().zip(&chosen.choices);
            let formats: Vec<(String, Format)> =
                members.map(|(member, &at)| (member.name.clone(), member.choices[at].format)).collect();
            let agree = formats.iter().all(|(_, format)| *format == formats[0].1);
            if agree { vec![(group.name.clone(), formats[0].1)] } else { formats }
        };
        matrices.flat_map(formats_of).collect()
    }

    /// The format of the KV cache in a solution.
    pub fn kv_format(&self, solution: &Solution) -> Format {
        let (cache, chosen) = (self.problem.groups.last(), solution.chosen.last());
        let (cache, chosen) = cache.zip(chosen).expect("every formulation ends with the KV cache");
        cache.alternatives[chosen.alternative].members[0].choices[chosen.choices[0]].format
    }

    /// What a plan does whose KV cache has the format `kv` and whose matrices, or split members, have those that
    /// `format_of` gives by name; `None` where one of them is no choice.
    pub fn chosen(&self, kv: Format, format_of: impl Fn(&str) -> Option<Format>) -> Option<Vec<GroupChoice>> {
        let choice = |member: &Member| {
            let format = if member.name == KV { kv } else { format_of(&member.name)? };
            member.choices.iter().position(|choice| choice.format == format)
        };
        let held = |(alternative, members): (usize, &Alternative)| {
            let choices = members.members.iter().map(choice).collect::<Option<_>>()?;
            Some(GroupChoice { alternative, choices })
        };
        let groups = self.problem.groups.iter();
        groups.map(|group| group.alternatives.iter().enumerate().find_map(held)).collect()
    }

    /// All weights, each matrix in the format that takes least.
    pub(crate) fn least_weight_bytes(&self) -> f64 {
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let of_member = |m: &Member| least(&mut m.choices.iter().map(|c| c.costs[&Resource::WeightBytes]));
        let of_alternative = |a: &Alternative| a.members.iter().map(of_member).sum::<f64>();
        let of_group = |group: &Group| least(&mut group.alternatives.iter().map(of_alternative));
        self.problem.groups.iter().map(of_group).sum()
    }
}

fn not_supported(key: &str, known: &Sensitivities, target: TargetName) -> Diagnostic {
    let weight = known.weights.iter().find(|weight| weight.key == key);
    let formats: Vec<&str> = weight.iter().flat_map(|w| &w.formats).map(|cost| cost.format.name()).collect();
    let message = match formats[..] {
        [] => format!("`{key}` was measured in no format"),
        _ => format!("target {target} has no kernel for `{key}` in any of {}", formats.join(", ")),
    };
    Diagnostic::bad_input(error_code::UNMEASURED, message)
        .at_op(key)
        .hint("give other --formats, and measure them")
}

fn unmeasured(key: &str) -> Diagnostic {
    Diagnostic::bad_input(error_code::UNMEASURED, format!("the profile has no measurement of `{key}`"))
        .at_op(key)
        .hint("merge the profiles of all layers, or measure the whole model")
}

#[cfg(test)]
mod tests;
