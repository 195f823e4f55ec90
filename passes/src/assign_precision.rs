//! Decides the format of every weight from what was measured: the request and the graph become an exact assignment
//! problem, its solution a recipe.
//!
//! Before: `samp.weight {key = "layers.0.mlp.down_proj", sensitivity = […]}`
//!
//! After: a [`Decision`], whose recipe `assign_recipe` carries out.
//!
//! Requires: the annotated phase. Ensures: every demand holds by what was measured and by the cost model, or the error says
//! what would have to give. Does not: measure, or trust that losses add up; that is for the audit.

use std::collections::BTreeMap;

use samp_abi::{Format, plan::OpKind};
use samp_ir::{Diagnostic, LinearOp, Module, Shape, WeightOp};

use crate::{
    FormatCost, Selection, Sensitivities,
    assign_recipe::projection_key,
    assignment::{self, Limit, Problem, Request, Solution, Unit},
    formulation::{
        BITS, BYTES, DEVICE, FixedCosts, Formulation, KV, LOSS, Matrix, chosen_by, formulate, latency_name,
        stratum_name,
    },
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
    /// Most time of a step over so many tokens, in nanoseconds.
    pub latency: Vec<(u64, f64)>,
}

/// What to have least of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// Loss.
    #[default]
    Quality,
    /// Bytes on the device: weights, KV cache at the declared limits, activation arena.
    DeviceBytes,
    /// Time of a step over so many tokens.
    Time(u64),
}

/// What a plan holds on its device beside the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// The activation arena while fused linears stay whole.
    pub arena_bytes: u64,
    /// The activation arena where all of them are apart, which holds their results twice.
    pub apart_arena_bytes: u64,
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
    pub minimised: String,
    /// The problem that was solved.
    pub problem: Problem,
    /// Its solution.
    pub solution: Solution,
}

impl Decision {
    /// The sum of the measured losses, in nats per token.
    pub fn predicted_nats(&self) -> f64 {
        self.solution.totals[0]
    }

    /// The same over one stratum; `None` of one that was not measured.
    pub fn predicted_nats_of(&self, stratum: &str) -> Option<f64> {
        let name = stratum_name(stratum);
        let at = self.problem.resources.iter().position(|resource| resource.name == name)?;
        Some(self.solution.totals[at])
    }

    /// Whether other formats of the weights, in the graph's order, would keep every limit and have no more of what was
    /// minimised. Losses do not count: they are for the audit.
    pub fn admits(&self, formats: &[(String, Format)]) -> bool {
        let format_of = |key: &str| match key {
            KV => Some(self.kv),
            _ => formats.iter().find(|(known, _)| known == key).map(|(_, format)| *format),
        };
        let Some(chosen) = chosen_by(&self.problem, &format_of) else { return false };
        let totals = self.problem.totals(&chosen);
        let limits = self.solution.limits.iter().map(|limit| (&limit.resource, limit.at_most));
        limits.chain([(&self.minimised, self.solution.objective)]).all(|(name, most)| {
            let resource = self.problem.resources.iter().position(|r| r.name == *name);
            resource.is_none_or(|at| self.problem.resources[at].unit == Unit::Nats || totals[at] <= most)
        })
    }
}

/// No assignment satisfies the demands.
pub const INFEASIBLE: &str = "E0410";

/// Solves for the formats of every matrix.
pub fn assign_precision(
    module: &Module,
    known: &Sensitivities,
    (demands, device): (&Constraints, &Device),
    selection: &Selection,
) -> Result<Decision, Diagnostic> {
    let request = request(demands);
    let (formulation, solution) = solved(module, known, (demands, device), selection, &request)?;
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
    let decided = device.kv.len() > 1;
    let recipe = Recipe { name: "measured".into(), kv: decided.then_some(kv), rules: rules.collect() };
    let (minimised, problem) = (request.minimise, formulation.problem);
    Ok(Decision { recipe, formats, kv, minimised, problem, solution })
}

/// Solves for all matrices. The arena is larger where fused linears are apart: where it counts, plans that keep them whole are
/// solved for by themselves, and the better of both is taken.
fn solved(
    module: &Module,
    known: &Sensitivities,
    (demands, device): (&Constraints, &Device),
    selection: &Selection,
    request: &Request,
) -> Result<(Formulation, Solution), Diagnostic> {
    let solve = |known: &Sensitivities, arena_bytes: u64| {
        let device = &Device { arena_bytes, ..device.clone() };
        let formulation = formulation(module, known, (demands, device), selection)?;
        match assignment::solve(&formulation.problem, request) {
            Ok(solution) => Ok((formulation, solution)),
            Err(error) if demands.device_bytes.is_none() => Err(refuse(error)),
            Err(error) => Err(refuse(error).note(least_held(&formulation, device))),
        }
    };
    let counts = demands.device_bytes.is_some() || demands.objective == Objective::DeviceBytes;
    if !counts {
        return solve(known, device.arena_bytes);
    }
    let mut whole = known.clone();
    whole.weights.iter_mut().for_each(|weight| weight.parts.clear());
    match (solve(&whole, device.arena_bytes), solve(known, device.apart_arena_bytes)) {
        (Ok(whole), Ok(apart)) => Ok(if apart.1.objective < whole.1.objective { apart } else { whole }),
        (Err(_), Ok(apart)) => Ok(apart),
        (whole, Err(_)) => whole,
    }
}

fn refuse(error: assignment::Error) -> Diagnostic {
    let text = error.to_string();
    let mut lines = text.lines();
    let finding = Diagnostic::bad_input(INFEASIBLE, lines.next().unwrap_or_default());
    lines.fold(finding, |finding, line| finding.note(line)).hint("widen a limit, or allow more formats")
}

/// The least that each part of what the device holds can take.
fn least_held(formulation: &Formulation, device: &Device) -> String {
    let cache = device.kv.iter().min_by_key(|kv| kv.bytes);
    let cache = cache.map_or((0.0, String::new()), |kv| (kv.bytes as f64, format!(" in {}", kv.loss.format)));
    let [weights, bytes, arena] =
        [formulation.least_weight_bytes(), cache.0, device.arena_bytes as f64].map(|b| Unit::Bytes.show(b));
    format!(
        "the device holds weights of at least {weights}, a KV cache of at least {bytes}{} at its limits, and an \
         activation arena of {arena}; fewer or shorter sequences and smaller batches take less",
        cache.1
    )
}

fn request(demands: &Constraints) -> Request {
    let objective = match demands.objective {
        Objective::Quality => LOSS.to_owned(),
        Objective::DeviceBytes => DEVICE.to_owned(),
        Objective::Time(tokens) => latency_name(tokens),
    };
    let mut limits = vec![];
    limits.extend(demands.weight_bytes.map(|most| Limit::new(BYTES, most)));
    limits.extend(demands.device_bytes.map(|most| Limit::new(DEVICE, most)));
    limits.extend(demands.bits_per_weight.map(|most| Limit::new(BITS, most)));
    limits.extend(demands.nats.map(|most| Limit::new(LOSS, most)));
    limits.extend(demands.stratum_nats.iter().map(|(name, &most)| Limit::new(stratum_name(name), most)));
    limits.extend(demands.latency.iter().map(|&(tokens, most)| Limit::new(latency_name(tokens), most)));
    Request::new(objective, limits)
}

/// The problem of a graph.
fn formulation(
    module: &Module,
    known: &Sensitivities,
    (demands, device): (&Constraints, &Device),
    selection: &Selection,
) -> Result<Formulation, Diagnostic> {
    let mut tokens: Vec<u64> = demands.latency.iter().map(|&(tokens, _)| tokens).collect();
    if let Objective::Time(own) = demands.objective {
        tokens.extend((!tokens.contains(&own)).then_some(own));
    }
    let vectors = module.views::<WeightOp>().filter(|w| !is_matrix(w));
    let bytes = vectors.map(|w| 4 * w.tensor_type().width()).sum();
    let matrices = matrices(module);
    let activations = known.activations(&matrices, selection.target);
    let rest = |kv: &KvCost| {
        let selection = Selection { kv: kv.loss.format, ..selection.clone() };
        FixedCosts {
            kv: kv.loss.clone(),
            bytes,
            device_bytes: device.arena_bytes.saturating_add(kv.bytes),
            times: tokens.iter().map(|&t| other_ops_time(module, t, activations, &selection).0).collect(),
        }
    };
    let rest: Vec<FixedCosts> = device.kv.iter().map(rest).collect();
    formulate(&matrices, &rest, known, &tokens, selection)
}

/// Every matrix of a graph, in its order.
pub fn matrices(module: &Module) -> Vec<Matrix> {
    module.views::<WeightOp>().filter(is_matrix).map(matrix).collect()
}

fn matrix(weight: WeightOp<'_>) -> Matrix {
    let shape = weight.tensor_type();
    let reader = if a_linear_reads(weight) { OpKind::Linear } else { OpKind::Embed };
    Matrix { key: weight.key().to_owned(), rows: shape.rows().unwrap_or(0), cols: shape.width(), reader }
}

fn is_matrix(weight: &WeightOp<'_>) -> bool {
    matches!(weight.tensor_type().shape, Shape::Matrix { .. })
}

fn a_linear_reads(weight: WeightOp<'_>) -> bool {
    let readers = weight.module().users(weight.value());
    readers.iter().any(|op| weight.module().view::<LinearOp>(op.id()).is_some())
}
