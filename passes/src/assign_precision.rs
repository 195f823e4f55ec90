//! Decides the format of every weight from what was measured: the request and the graph become an exact assignment
//! problem, its solution a recipe.
//!
//! Before: `samp.weight {key = "layers.0.mlp.down_proj", sensitivity = […]}`
//!
//! After: a [`Decision`], whose recipe `assign_recipe` carries out.
//!
//! Requires: the annotated phase. Ensures: every constraint holds by what was measured and by the cost model, or the error says
//! what would have to give. Does not: measure, or trust that losses add up; that is for the audit.

use std::collections::BTreeMap;

use samp_abi::Format;
use samp_ir::{Diagnostic, Module, WeightOp};
use samp_kernels::cost::Nanos;

use crate::error_code;
use crate::{
    FormatCost, Selection, Sensitivities,
    assign_recipe::projection_key,
    assignment::{self, ABSURD, Limit, Resource, Solution, SolveRequest, Unit},
    formulation::{FixedCosts, Formulation, formulate},
    matrix::{is_matrix, matrices},
    recipe::{Recipe, Rule},
    select_kernels::other_ops_time,
};

/// What a compile is asked for. Losses are divergences from the unquantized model in nats per token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraints {
    /// What to have least of.
    pub objective: Objective,
    /// Most bytes of all weights, scales counted.
    pub weight_bytes: Option<f64>,
    /// Most bytes on the device: weights, KV cache at the declared limits, activation arena.
    pub device_bytes: Option<f64>,
    /// Most bits per weight over the decoder's linears, scales counted.
    pub bits_per_weight: Option<f64>,
    /// Most loss overall.
    pub nats: Option<f64>,
    /// Most loss of each stratum.
    pub stratum_nats: BTreeMap<String, f64>,
    /// Most time of steps.
    pub latency: Vec<LatencyLimit>,
}

/// The most time that a step may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyLimit {
    /// Tokens in the step, over all sequences.
    pub tokens: u64,
    /// The time, inclusive.
    pub most: Nanos,
}

/// What to have least of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// The divergence from the unquantized model.
    #[default]
    Quality,
    /// Bytes on the device: weights, KV cache at the declared limits, activation arena.
    DeviceBytes,
    /// Time of a step over so many tokens.
    Time(u64),
}

/// What a plan holds in its device's memory beside the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceMemory {
    /// The activation arena while linears stay fused.
    pub arena_bytes: u64,
    /// The activation arena where all of them are split, which holds their results twice.
    pub split_arena_bytes: u64,
    /// The formats that the KV cache may have; at least one.
    pub kv: Vec<KvCost>,
}

/// What the KV cache costs in one format.
#[derive(Clone, Debug, PartialEq)]
pub struct KvCost {
    /// All sequences at their longest.
    pub bytes: u64,
    /// The format and what it loses; no strata where that was not measured.
    pub loss: FormatCost,
}

/// The formats chosen, and how sure that is.
#[derive(Clone, Debug)]
pub struct Decision {
    /// One rule for each projection.
    pub recipe: Recipe,
    /// The format of each weight, in the graph's order; of each member of a fused one whose members differ.
    pub formats: Vec<(String, Format)>,
    /// The format of the KV cache.
    pub kv: Format,
    /// The resource that was minimised.
    pub minimised: Resource,
    /// The problem that was solved.
    pub formulation: Formulation,
    /// The plan that solves it, with its proof.
    pub solution: Solution,
}

impl Decision {
    /// The sum of the measured losses, in nats per token.
    pub fn predicted_nats(&self) -> f64 {
        self.solution.totals[&Resource::Loss]
    }

    /// The same over one stratum; `None` of one that was not measured.
    pub fn predicted_nats_of(&self, stratum: &str) -> Option<f64> {
        self.solution.totals.get(&Resource::stratum_loss(stratum))
    }

    /// Whether other formats of the weights, in the graph's order, would keep every limit and have no more of what was
    /// minimised. Losses do not count: they are for the audit.
    pub fn admits(&self, formats: &[(String, Format)]) -> bool {
        let format_of = |key: &str| formats.iter().find(|(known, _)| known == key).map(|(_, format)| *format);
        let Some(chosen) = self.formulation.chosen(self.kv, format_of) else { return false };
        let totals = self.formulation.problem.totals(&chosen);
        let limits = self.solution.limits.iter().map(|limit| (&limit.resource, limit.most));
        limits
            .chain([(&self.minimised, self.solution.objective)])
            .all(|(resource, most)| resource.unit() == Unit::Nats || totals[resource] <= most)
    }
}

/// Solves for the formats of every matrix.
pub fn assign_precision(
    module: &Module,
    known: &Sensitivities,
    constraints: &Constraints,
    memory: &DeviceMemory,
    selection: &Selection,
) -> Result<Decision, Diagnostic> {
    let solver = Solver { module, constraints, memory, selection };
    let Solved { formulation, solution } = solver.best(known)?;
    let formats = formulation.formats(&solution);
    let rule = |weight: WeightOp<'_>, source: &str| {
        let key = projection_key(source);
        let decided = formats.iter().find(|(known, _)| known == weight.key() || known == key);
        Rule { pattern: key.into(), format: decided.expect("every matrix is decided").1 }
    };
    let matrices = module.views::<WeightOp>().filter(is_matrix);
    let rules = matrices.flat_map(|weight| weight.sources().into_iter().map(move |source| (weight, source)));
    let rules = rules.map(|(weight, source)| rule(weight, source));
    let kv = formulation.kv_format(&solution);
    let decided = memory.kv.len() > 1;
    let recipe = Recipe { name: "measured".into(), kv: decided.then_some(kv), rules: rules.collect() };
    let minimised = constraints.objective.resource();
    Ok(Decision { recipe, formats, kv, minimised, formulation, solution })
}

/// What is solved for, whichever measurements and arena it is solved with.
struct Solver<'a> {
    module: &'a Module,
    constraints: &'a Constraints,
    memory: &'a DeviceMemory,
    selection: &'a Selection,
}

/// A problem and its solution.
struct Solved {
    formulation: Formulation,
    solution: Solution,
}

impl Solver<'_> {
    /// Solves for all matrices. The arena is larger where linears are split: where it counts, plans that keep them fused
    /// are solved for by themselves, and the better of both is taken.
    fn best(&self, known: &Sensitivities) -> Result<Solved, Diagnostic> {
        let Constraints { device_bytes, objective, .. } = self.constraints;
        if device_bytes.is_none() && *objective != Objective::DeviceBytes {
            return self.solve(known, self.memory.arena_bytes);
        }
        let mut fused = known.clone();
        fused.weights.iter_mut().for_each(|weight| weight.members.clear());
        let fused = self.solve(&fused, self.memory.arena_bytes);
        match (fused, self.solve(known, self.memory.split_arena_bytes)) {
            (Ok(fused), Ok(split)) => {
                Ok(if split.solution.objective < fused.solution.objective { split } else { fused })
            }
            (Err(_), Ok(split)) => Ok(split),
            (fused, Err(_)) => fused,
        }
    }

    fn solve(&self, known: &Sensitivities, arena_bytes: u64) -> Result<Solved, Diagnostic> {
        let formulation = self.formulation(known, arena_bytes)?;
        match assignment::solve(&formulation.problem, &self.constraints.request()) {
            Ok(solution) => Ok(Solved { formulation, solution }),
            Err(error) if self.constraints.device_bytes.is_none() => Err(refuse(error)),
            Err(error) => Err(refuse(error).note(least_held(&formulation, &self.memory.kv, arena_bytes))),
        }
    }

    /// The problem of the graph.
    fn formulation(&self, known: &Sensitivities, arena_bytes: u64) -> Result<Formulation, Diagnostic> {
        let Solver { module, selection, .. } = *self;
        let tokens = self.constraints.timed_tokens();
        let vectors = module.views::<WeightOp>().filter(|w| !is_matrix(w));
        let bytes = vectors.map(|w| 4 * w.tensor_type().width()).sum();
        let matrices = matrices(module);
        let activations = known.activations(&matrices, selection.target);
        let fixed = |kv: &KvCost| {
            let selection = Selection { kv: kv.loss.format, ..selection.clone() };
            FixedCosts {
                kv: kv.loss.clone(),
                bytes,
                device_bytes: arena_bytes.saturating_add(kv.bytes),
                times: tokens.iter().map(|&t| other_ops_time(module, t, activations, &selection)).collect(),
            }
        };
        let fixed: Vec<FixedCosts> = self.memory.kv.iter().map(fixed).collect();
        formulate(&matrices, &fixed, known, &tokens, selection)
    }
}

fn refuse(error: assignment::Error) -> Diagnostic {
    let text = error.to_string();
    let mut lines = text.lines();
    let code = match error {
        assignment::Error::Undecided { .. } => error_code::NOT_FOUND,
        _ => error_code::INFEASIBLE,
    };
    let finding = Diagnostic::bad_input(code, lines.next().unwrap_or_default());
    lines.fold(finding, |finding, line| finding.note(line)).hint("widen a limit, or allow more formats")
}

/// The least that each kind of what the device holds can take.
fn least_held(formulation: &Formulation, kv: &[KvCost], arena_bytes: u64) -> String {
    let cache = kv.iter().min_by_key(|kv| kv.bytes);
    let cache = cache.map_or((0.0, String::new()), |kv| (kv.bytes as f64, format!(" in {}", kv.loss.format)));
    let [weights, bytes, arena] =
        [formulation.least_weight_bytes(), cache.0, arena_bytes as f64].map(|b| Unit::Bytes.show(b));
    format!(
        "the device holds weights of at least {weights}, a KV cache of at least {bytes}{} at its limits, and an \
         activation arena of {arena}; fewer or shorter sequences and smaller batches take less",
        cache.1
    )
}

impl Objective {
    /// What is minimised.
    fn resource(self) -> Resource {
        match self {
            Objective::Quality => Resource::Loss,
            Objective::DeviceBytes => Resource::DeviceBytes,
            Objective::Time(tokens) => Resource::StepTime { tokens },
        }
    }
}

impl Constraints {
    /// Refuses limits that are no amounts.
    pub fn check(&self) -> Result<(), Diagnostic> {
        let limits = self.request().limits;
        // NaN lies in no range.
        let wrong = limits.iter().find(|limit| !(0.0..ABSURD).contains(&limit.most));
        let Some(Limit { resource, most }) = wrong else { return Ok(()) };
        let message =
            format!("limit on {resource}: expected a number from 0 up, below {ABSURD:e}, found {most}");
        Err(Diagnostic::bad_input(error_code::BAD_LIMIT, message)
            .hint("give a number, or leave the limit out"))
    }

    /// What the solver is asked. Certificates list the limits in this order.
    fn request(&self) -> SolveRequest {
        let single = [
            (Resource::WeightBytes, self.weight_bytes),
            (Resource::DeviceBytes, self.device_bytes),
            (Resource::BitsPerWeight, self.bits_per_weight),
            (Resource::Loss, self.nats),
        ];
        let single = single.into_iter().filter_map(|(resource, most)| Some(Limit::new(resource, most?)));
        let strata = self.stratum_nats.iter();
        let strata = strata.map(|(name, &most)| Limit::new(Resource::stratum_loss(name), most));
        let times = self.latency.iter();
        let times = times.map(|time| Limit::new(Resource::StepTime { tokens: time.tokens }, time.most.0));
        SolveRequest::new(self.objective.resource(), single.chain(strata).chain(times).collect())
    }

    /// The numbers of tokens that steps are timed over, each once.
    fn timed_tokens(&self) -> Vec<u64> {
        let minimised = if let Objective::Time(tokens) = self.objective { Some(tokens) } else { None };
        let mut all = vec![];
        for tokens in self.latency.iter().map(|limit| limit.tokens).chain(minimised) {
            if !all.contains(&tokens) {
                all.push(tokens);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_finite_amounts_from_zero_up() {
        let bits = |bits| Constraints { bits_per_weight: Some(bits), ..Constraints::default() };
        for amount in [0.0, 4.8, 1e29] {
            assert_eq!(bits(amount).check(), Ok(()), "{amount}");
        }
        for amount in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e30] {
            let refused = bits(amount).check().unwrap_err();
            assert!(refused.code == error_code::BAD_LIMIT, "{refused}");
            assert!(refused.message.starts_with("limit on bits per weight: expected a number"), "{refused}");
        }
        let most = Nanos(f64::NAN);
        let latency = vec![LatencyLimit { tokens: 1, most }];
        assert!(Constraints { latency, ..Constraints::default() }.check().is_err());
    }
}
