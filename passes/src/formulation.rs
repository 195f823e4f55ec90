//! The assignment problem of a model: what each format that was measured costs each of its matrices.

use samp_abi::{Format, Layout, TargetName, plan::OpKind};
use samp_ir::Diagnostic;

use crate::{
    FormatCost, Selection, Sensitivities,
    assignment::{Alternative, Choice, Chosen, Group, Part, Problem, Resource, Solution, Unit},
    pricing::Pricing,
};

/// The resource that counts the divergence from the unquantized model, in nats per token.
pub const LOSS: &str = "loss";
/// The resource that counts the bytes of all weights, scales included.
pub const BYTES: &str = "weight bytes";
/// The resource that counts all bytes on the device: weights, KV cache at the declared limits, activation arena.
pub const DEVICE: &str = "device bytes";
/// The resource that counts bits per weight over the decoder's linears, scales included.
pub const BITS: &str = "bits per weight";

/// The resource that counts the divergence over one stratum.
pub(crate) fn stratum_name(stratum: &str) -> String {
    format!("loss of {stratum}")
}

/// The resource that counts the time of a step over so many tokens.
pub(crate) fn latency_name(tokens: u64) -> String {
    format!("time of {tokens} tokens")
}

/// A matrix whose format is to be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Its name in the graph.
    pub key: String,
    /// Output channels.
    pub rows: u64,
    /// Input channels.
    pub cols: u64,
    /// What reads it: [`OpKind::Linear`], or [`OpKind::Embed`] alone.
    pub reader: OpKind,
}

impl Matrix {
    /// Whether bits per weight are counted over it.
    pub fn is_decoder_linear(&self) -> bool {
        self.key.starts_with("layers.")
    }

    /// Bytes in a format, with so many outlier columns if it keeps them apart. The layout is chosen later; none takes
    /// more than this.
    pub fn bytes(&self, format: Format, outliers: usize) -> u64 {
        let bytes = |layout: &Layout| layout.bytes_with(format, self.rows, self.cols, outliers as u64);
        Layout::ALL.iter().map(bytes).max().unwrap_or(0)
    }
}

/// Everything but the matrices, with the KV cache in one of the formats that it may have.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedCosts {
    /// The KV cache's format and its loss; no strata where the loss was not measured.
    pub kv: FormatCost,
    /// Bytes of norms and biases.
    pub bytes: u64,
    /// Bytes on the device that are no weights: KV cache and activation arena.
    pub device_bytes: u64,
    /// Time of the ops without matrices in nanoseconds, one for each number of tokens.
    pub times: Vec<f64>,
}

/// The assignment problem with what its choices stand for.
#[derive(Clone, Debug)]
pub struct Formulation {
    /// One group for each matrix, in the order given, and one for the KV cache with everything else. Choices are named by
    /// their formats. A fused matrix whose members were measured can also be held apart.
    pub problem: Problem,
    /// The formats behind the KV cache's choices.
    pub kv: Vec<Format>,
}

/// A matrix of the graph was not measured.
pub const UNMEASURED: &str = "E0411";

/// The problem of choosing a measured format for each matrix, and one of `rest`. Its resources are [`LOSS`], [`BYTES`],
/// [`BITS`], [`DEVICE`], the loss of each stratum, and the time of a step over each of `tokens`. A format that no kernel
/// of the target takes is no choice.
pub fn formulate(
    matrices: &[Matrix],
    rest: &[FixedCosts],
    known: &Sensitivities,
    tokens: &[u64],
    selection: &Selection,
) -> Result<Formulation, Diagnostic> {
    let mut resources = vec![
        Resource { name: LOSS.into(), unit: Unit::Nats },
        Resource { name: BYTES.into(), unit: Unit::Bytes },
        Resource { name: BITS.into(), unit: Unit::Bits },
        Resource { name: DEVICE.into(), unit: Unit::Bytes },
    ];
    resources.extend(known.strata.iter().map(|s| Resource { name: stratum_name(s), unit: Unit::Nats }));
    resources.extend(tokens.iter().map(|&t| Resource { name: latency_name(t), unit: Unit::Nanos }));
    let decoder = matrices.iter().filter(|m| m.is_decoder_linear());
    let decoder_weights = decoder.map(|m| (m.rows * m.cols) as f64).sum();
    let activations = known.activations(matrices, selection.target);
    let (measured_in, known) = (known, known.clone().runnable(matrices, selection.target));
    let pricing = Pricing { selection, activations, tokens, decoder_weights };
    let mut groups = vec![];
    for matrix in matrices {
        let measured = known.weights.iter().find(|w| w.key == matrix.key);
        let measured = measured.ok_or_else(|| unmeasured(&matrix.key))?;
        let choices = pricing.choices(matrix, (&measured.formats, measured.outliers.len()), &[]);
        if choices.is_empty() {
            return Err(not_runnable(&matrix.key, measured_in, selection.target));
        }
        let group = Group::new(&matrix.key, choices);
        groups.push(match pricing.apart(matrix, measured) {
            Some(members) => group.or_apart(members),
            None => group,
        });
    }
    groups.push(Group::new(KV, rest.iter().map(|rest| rest.choice(known.strata.len())).collect()));
    let kv = rest.iter().map(|rest| rest.kv.format).collect();
    Ok(Formulation { problem: Problem { resources, groups }, kv })
}

/// The group of the KV cache, which also counts what no choice changes.
pub const KV: &str = "KV cache";

impl FixedCosts {
    fn choice(&self, strata: usize) -> Choice {
        let bytes = self.bytes as f64;
        let mut costs = vec![self.kv.nats.max(0.0), bytes, 0.0, bytes + self.device_bytes as f64];
        costs.extend((0..strata).map(|at| self.kv.strata.get(at).map_or(0.0, |nats| nats.max(0.0))));
        costs.extend(&self.times);
        Choice { name: self.kv.format.to_string(), costs }
    }
}

impl Formulation {
    /// The format of each matrix in a solution, or of each member of one that is held apart. Members that agree are one.
    pub fn formats(&self, solution: &Solution) -> Vec<(String, Format)> {
        let matrices = self.problem.groups.iter().zip(&solution.chosen).filter(|(group, _)| group.name != KV);
        let of = |(group, chosen): (&Group, &Chosen)| {
            let parts = group.alternatives[chosen.alternative].parts.iter().zip(&chosen.choices);
            let formats: Vec<(String, Format)> =
                parts.map(|(part, &at)| (part.name.clone(), format_of(&part.choices[at]))).collect();
            let agree = formats.iter().all(|(_, format)| *format == formats[0].1);
            if agree { vec![(group.name.clone(), formats[0].1)] } else { formats }
        };
        matrices.flat_map(of).collect()
    }

    /// All weights, each matrix in the format that takes least.
    pub fn least_weight_bytes(&self) -> f64 {
        let part = |part: &Part| part.choices.iter().map(|c| c.costs[1]).fold(f64::INFINITY, f64::min);
        let way = |way: &Alternative| way.parts.iter().map(part).sum::<f64>();
        let group = |group: &Group| group.alternatives.iter().map(way).fold(f64::INFINITY, f64::min);
        self.problem.groups.iter().map(group).sum()
    }

    /// The format of the KV cache in a solution.
    pub fn kv_format(&self, solution: &Solution) -> Format {
        self.kv[solution.chosen[self.problem.groups.len() - 1].choices[0]]
    }
}

/// The format that a choice stands for.
fn format_of(choice: &Choice) -> Format {
    choice.name.parse().expect("a choice is named by its format")
}

/// What a plan does whose matrices, members held apart, and KV cache have these formats, by name; `None` where one of them is no
/// choice.
pub fn chosen_by(problem: &Problem, format_of: &dyn Fn(&str) -> Option<Format>) -> Option<Vec<Chosen>> {
    let choice = |part: &Part| {
        let name = format_of(&part.name)?.to_string();
        part.choices.iter().position(|choice| choice.name == name)
    };
    let way = |(alternative, way): (usize, &Alternative)| {
        let choices = way.parts.iter().map(choice).collect::<Option<_>>()?;
        Some(Chosen { alternative, choices })
    };
    problem.groups.iter().map(|group| group.alternatives.iter().enumerate().find_map(way)).collect()
}

fn not_runnable(key: &str, known: &Sensitivities, target: TargetName) -> Diagnostic {
    let weight = known.weights.iter().find(|weight| weight.key == key);
    let formats: Vec<&str> = weight.iter().flat_map(|w| &w.formats).map(|cost| cost.format.name()).collect();
    let message = match formats[..] {
        [] => format!("`{key}` was measured in no format"),
        _ => format!("target {target} has no kernel for `{key}` in any of {}", formats.join(", ")),
    };
    Diagnostic::bad_input(UNMEASURED, message).at_op(key).hint("give other --formats, and measure them")
}

fn unmeasured(key: &str) -> Diagnostic {
    Diagnostic::bad_input(UNMEASURED, format!("the profile has no measurement of `{key}`"))
        .at_op(key)
        .hint("merge the profiles of all layers, or measure the whole model")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        MemberSensitivity, WeightSensitivity,
        assignment::{Limit, Request, solve},
    };

    fn matrix(key: &str, reader: OpKind) -> Matrix {
        Matrix { key: key.into(), rows: 256, cols: 128, reader }
    }

    fn known(keys: [&str; 2]) -> Sensitivities {
        let cost = |format, nats| FormatCost { format, nats, strata: vec![] };
        let formats = vec![cost(Format::Nf4, 1e-3), cost(Format::F16, -1e-9)];
        let weight = |key: &str| WeightSensitivity {
            key: key.into(),
            outliers: vec![],
            formats: formats.clone(),
            parts: vec![],
        };
        Sensitivities { weights: keys.map(weight).into(), strata: vec![] }
    }

    fn selection() -> Selection {
        Selection { target: TargetName::Cpu, buckets: vec![1], kv: Format::F32, context: 64 }
    }

    #[test]
    fn bits_are_counted_over_the_decoder_and_bytes_over_everything() {
        let matrices = [matrix("embed_tokens", OpKind::Embed), matrix("layers.0.a", OpKind::Linear)];
        let known = known(["embed_tokens", "layers.0.a"]);
        let formulation =
            formulate(&matrices, &[rest(Format::F32, 0.0, 64)], &known, &[], &selection()).unwrap();
        let request = Request::new(LOSS, vec![Limit::new(BITS, 8.0)]);
        let solution = solve(&formulation.problem, &request).unwrap();
        let formats: Vec<Format> = formulation.formats(&solution).into_iter().map(|f| f.1).collect();
        assert_eq!(formats, [Format::F16, Format::Nf4], "only the decoder's linear is limited");
        let bytes = [matrices[0].bytes(Format::F16, 0), matrices[1].bytes(Format::Nf4, 0)];
        assert_eq!(solution.totals[0], 1e-3, "a loss below zero counts as none");
        assert_eq!(solution.totals[1], (bytes[0] + bytes[1] + 12) as f64);
        assert_eq!(solution.totals[2], 8.0 * bytes[1] as f64 / (256.0 * 128.0));
        assert_eq!(solution.totals[3], solution.totals[1] + 64.0, "the device holds more than weights");
    }

    /// 12 bytes of norms, a KV cache of `bytes` that loses `nats`.
    fn rest(format: Format, nats: f64, bytes: u64) -> FixedCosts {
        FixedCosts {
            kv: FormatCost { format, nats, strata: vec![] },
            bytes: 12,
            device_bytes: bytes,
            times: vec![],
        }
    }

    #[test]
    fn the_cache_and_the_weights_share_the_device() {
        let matrices = [matrix("layers.0.a", OpKind::Linear)];
        let known = known(["embed_tokens", "layers.0.a"]);
        let [small, large] = [Format::Nf4, Format::F16].map(|format| matrices[0].bytes(format, 0));
        let chosen = |cache_nats: f64, most: u64| {
            let rest = [rest(Format::F32, 0.0, 100_000), rest(Format::F16, cache_nats, 50_000)];
            let formulation = formulate(&matrices, &rest, &known, &[], &selection()).unwrap();
            let request = Request::new(LOSS, vec![Limit::new(DEVICE, most as f64)]);
            let solution = solve(&formulation.problem, &request).unwrap();
            (formulation.formats(&solution)[0].1, formulation.kv_format(&solution))
        };
        let (roomy, tight) = (100_012 + large, 100_012 + small);
        assert_eq!(chosen(1e-4, roomy), (Format::F16, Format::F32), "nothing has to give");
        assert_eq!(chosen(1e-4, tight), (Format::F16, Format::F16), "the cache gives the room");
        assert_eq!(chosen(1e-2, tight), (Format::Nf4, Format::F32), "the weight gives the room");
    }

    /// 256 rows of two bytes, and an index of four, for each column kept.
    #[test]
    fn outlier_columns_take_bytes_in_the_format_that_keeps_them_alone() {
        let matrix = matrix("layers.0.a", OpKind::Linear);
        for (format, more) in [(Format::INT8_OUTLIERS, 3 * (2 * 256 + 4)), (Format::INT8, 0)] {
            assert_eq!(matrix.bytes(format, 3) - matrix.bytes(Format::INT8, 0), more, "{format}");
        }
    }

    /// A fused matrix of two members: queries lose nine times what values of as many rows do.
    fn fused(tokens: &[u64]) -> Formulation {
        let cost = |format, nats| FormatCost { format, nats, strata: vec![] };
        let part = |key: &str, nats: f64| MemberSensitivity {
            key: key.into(),
            rows: 128,
            formats: vec![cost(Format::Nf4, nats), cost(Format::F16, 0.0)],
        };
        let mut known = known(["layers.0.qv", "layers.0.a"]);
        known.weights[0].parts = vec![part("layers.0.q", 1.8e-3), part("layers.0.v", 2e-4)];
        let matrices = [matrix("layers.0.qv", OpKind::Linear)];
        let rest = FixedCosts { times: vec![0.0; tokens.len()], ..rest(Format::F32, 0.0, 64) };
        formulate(&matrices, &[rest], &known, tokens, &selection()).unwrap()
    }

    #[test]
    fn members_part_where_that_pays_and_share_what_the_whole_loses() {
        let formulation = fused(&[]);
        let formats = |bits: f64| {
            let request = Request::new(LOSS, vec![Limit::new(BITS, bits)]);
            let solution = solve(&formulation.problem, &request).unwrap();
            (formulation.formats(&solution), solution.totals[0])
        };
        let (found, nats) = formats(11.0);
        assert_eq!(found, [("layers.0.q".into(), Format::F16), ("layers.0.v".into(), Format::Nf4)]);
        assert!((nats - 1e-4).abs() < 1e-12, "a tenth of what the whole loses: {nats}");
        assert_eq!(formats(16.0).0, [("layers.0.qv".into(), Format::F16)], "members that agree are together");
        let both = chosen_by(&formulation.problem, &|key| match key {
            "layers.0.qv" => None,
            KV => Some(Format::F32),
            _ => Some(Format::Nf4),
        });
        let [whole, apart] = [0, 1].map(|alternative| {
            let mut chosen = both.clone().unwrap();
            let parts = formulation.problem.groups[0].alternatives[alternative].parts.len();
            chosen[0] = Chosen { alternative, choices: vec![0; parts] };
            formulation.problem.totals(&chosen)[0]
        });
        assert!((whole - apart).abs() < 1e-12, "{whole} {apart}");
    }

    #[test]
    fn members_apart_take_longer_by_their_launches_and_the_concatenation() {
        let formulation = fused(&[1]);
        let time = |way: usize, at: usize| {
            let parts = &formulation.problem.groups[0].alternatives[way].parts;
            parts.iter().map(|part| part.choices[at].costs[4]).sum::<f64>()
        };
        let launch = samp_kernels::target::Target::of(TargetName::Cpu).launch_ns;
        assert!(time(1, 1) > time(0, 1) + 1.9 * launch, "{} {}", time(1, 1), time(0, 1));
        let request = Request::new(latency_name(1), vec![]);
        let solution = solve(&formulation.problem, &request).unwrap();
        assert_eq!(formulation.formats(&solution).len(), 1, "time does not part them");
    }

    #[test]
    fn what_the_target_has_no_kernel_for_is_named() {
        let matrices = [matrix("layers.0.a", OpKind::Linear)];
        let mut known = known(["embed_tokens", "layers.0.a"]);
        let int6 = Format::Int6 { group: samp_abi::Group::G128 };
        known.weights.iter_mut().flat_map(|w| &mut w.formats).for_each(|cost| cost.format = int6);
        let selection = Selection { target: TargetName::H100, ..selection() };
        let refused =
            formulate(&matrices, &[rest(Format::F16, 0.0, 64)], &known, &[], &selection).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("h100 has no kernel for `layers.0.a` in any of int6"), "{said}");
    }

    /// Both formats were measured, and bf16 loses less.
    #[test]
    fn a_gpu_is_given_linears_of_one_plain_type() {
        let matrices = [matrix("embed_tokens", OpKind::Embed), matrix("layers.0.a", OpKind::Linear)];
        let mut known = known(["embed_tokens", "layers.0.a"]);
        let bf16 = FormatCost { format: Format::Bf16, nats: 0.0, strata: vec![] };
        for weight in &mut known.weights {
            weight.formats.iter_mut().for_each(|cost| cost.nats = 1e-3);
            weight.formats.push(bf16.clone());
        }
        let chosen = |target, tokens: &[u64]| {
            let (selection, kv) = (Selection { target, ..selection() }, rest(Format::F16, 0.0, 64));
            let rest = FixedCosts { times: vec![0.0; tokens.len()], ..kv };
            let formulation = formulate(&matrices, &[rest], &known, tokens, &selection).unwrap();
            let solution = solve(&formulation.problem, &Request::new(LOSS, vec![])).unwrap();
            formulation.formats(&solution).into_iter().map(|(_, format)| format).collect::<Vec<_>>()
        };
        for tokens in [&[][..], &[1, 64]] {
            assert_eq!(chosen(TargetName::Cpu, tokens), [Format::Bf16; 2]);
            let [table, linear] = chosen(TargetName::H100, tokens)[..] else { panic!("two matrices") };
            assert_eq!(table, Format::Bf16, "a table gives f32 whatever it is in");
            assert!(linear != Format::Bf16, "f16 was among the formats measured");
        }
    }

    #[test]
    fn a_matrix_without_a_measurement_is_named() {
        let matrices = [matrix("layers.1.b", OpKind::Linear)];
        let known = known(["embed_tokens", "layers.0.a"]);
        let refused = formulate(&matrices, &[], &known, &[], &selection()).unwrap_err();
        assert!(refused.to_string().contains("layers.1.b"), "{refused}");
    }
}
