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

use samp_abi::{Format, Layout, plan::OpKind};
use samp_ir::{Diagnostic, LinearOp, Module, Shape, WeightOp};

use crate::{
    Selection, Sensitivities,
    annotate_sensitivity::{FormatCost, WeightSensitivity},
    assign_recipe::projection_key,
    assignment::{self, Choice, Group, Limit, Problem, Request, Resource, Solution, Unit},
    recipe::{Recipe, Rule},
    select_kernels::{fastest, other_ops_time},
};

/// What a compile is asked for. Losses are divergences from the unquantized model in nats per token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demands {
    /// What to have least of.
    pub objective: Objective,
    /// Most bytes of all weights, scales counted.
    pub weight_bytes: Option<f64>,
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
    /// Weight bytes.
    Bytes,
    /// Time of a step over one token.
    Latency,
}

/// The resource names.
const LOSS: &str = "loss";
const BYTES: &str = "weight bytes";
const BITS: &str = "bits per weight";

/// The formats chosen, and how sure that is.
#[derive(Clone, Debug)]
pub struct Decision {
    /// One rule for each projection.
    pub recipe: Recipe,
    /// The format of each weight, in the graph's order.
    pub formats: Vec<(String, Format)>,
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
}

/// No assignment satisfies the demands.
pub const INFEASIBLE: &str = "E0410";
/// A matrix of the graph was not measured.
pub const UNMEASURED: &str = "E0411";

/// Solves for the formats of every matrix.
pub fn assign_precision(
    module: &Module,
    known: &Sensitivities,
    demands: &Demands,
    selection: &Selection,
) -> Result<Decision, Diagnostic> {
    let formulation = Formulation::of(module, known, demands, selection)?;
    let solution = assignment::solve(&formulation.problem, &request(demands)).map_err(refuse)?;
    let formats = formulation.formats(&solution);
    let rules = module.views::<WeightOp>().filter(is_matrix).flat_map(|weight| {
        let format = formats.iter().find(|(key, _)| key == weight.key()).map(|(_, format)| *format);
        let rule = move |source| Rule {
            pattern: projection_key(source).into(),
            format: format.expect("every matrix is decided"),
        };
        weight.sources().into_iter().map(rule)
    });
    let recipe = Recipe { name: "measured".into(), kv: None, rules: rules.collect() };
    Ok(Decision { recipe, formats, problem: formulation.problem, solution })
}

fn refuse(error: assignment::Error) -> Diagnostic {
    let text = error.to_string();
    let mut lines = text.lines();
    let finding = Diagnostic::bad_input(INFEASIBLE, lines.next().unwrap_or_default());
    lines.fold(finding, |finding, line| finding.note(line)).hint("widen a limit, or allow more formats")
}

fn request(demands: &Demands) -> Request {
    let objective = match demands.objective {
        Objective::Quality => LOSS.to_owned(),
        Objective::Bytes => BYTES.to_owned(),
        Objective::Latency => latency_name(1),
    };
    let mut limits = vec![];
    limits.extend(demands.weight_bytes.map(|most| Limit::new(BYTES, most)));
    limits.extend(demands.bits_per_weight.map(|most| Limit::new(BITS, most)));
    limits.extend(demands.nats.map(|most| Limit::new(LOSS, most)));
    limits.extend(demands.stratum_nats.iter().map(|(name, &most)| Limit::new(stratum_name(name), most)));
    limits.extend(demands.latency.iter().map(|&(tokens, most)| Limit::new(latency_name(tokens), most)));
    Request::new(objective, limits)
}

fn stratum_name(stratum: &str) -> String {
    format!("loss of {stratum}")
}

fn latency_name(tokens: u64) -> String {
    format!("time of {tokens} tokens")
}

/// The assignment problem with what its choices stand for.
struct Formulation {
    problem: Problem,
    /// The formats behind each group's choices.
    choices: Vec<(String, Vec<Format>)>,
}

impl Formulation {
    fn of(
        module: &Module,
        known: &Sensitivities,
        demands: &Demands,
        selection: &Selection,
    ) -> Result<Formulation, Diagnostic> {
        let mut tokens: Vec<u64> = demands.latency.iter().map(|&(tokens, _)| tokens).collect();
        tokens.extend((demands.objective == Objective::Latency && !tokens.contains(&1)).then_some(1));
        let pricing = Pricing { selection, tokens: &tokens, decoder_weights: decoder_weights(module) };
        let mut resources = vec![
            Resource { name: LOSS.into(), unit: Unit::Nats },
            Resource { name: BYTES.into(), unit: Unit::Bytes },
            Resource { name: BITS.into(), unit: Unit::Bits },
        ];
        let strata = known.strata.iter().map(|s| Resource { name: stratum_name(s), unit: Unit::Nats });
        resources.extend(strata);
        resources.extend(tokens.iter().map(|&t| Resource { name: latency_name(t), unit: Unit::Nanos }));
        let (mut groups, mut choices) = (vec![], vec![]);
        for weight in module.views::<WeightOp>().filter(is_matrix) {
            let measured = known.weights.iter().find(|w| w.key == weight.key());
            let measured = measured.ok_or_else(|| unmeasured(weight))?;
            let priced = pricing.choices(weight, measured);
            choices.push((weight.key().to_owned(), priced.iter().map(|(format, _)| *format).collect()));
            groups.push(Group::new(weight.key(), priced.into_iter().map(|(_, choice)| choice).collect()));
        }
        groups
            .push(Group::new("norms, biases and other ops", vec![pricing.rest(module, known.strata.len())]));
        Ok(Formulation { problem: Problem { resources, groups }, choices })
    }

    fn formats(&self, solution: &Solution) -> Vec<(String, Format)> {
        let chosen = solution.chosen.iter().map(|chosen| chosen.choices[0]);
        self.choices.iter().zip(chosen).map(|((key, formats), at)| (key.clone(), formats[at])).collect()
    }
}

/// How choices are priced.
struct Pricing<'a> {
    selection: &'a Selection,
    tokens: &'a [u64],
    decoder_weights: f64,
}

impl Pricing<'_> {
    /// Each format that some kernel of the target takes.
    fn choices(&self, weight: WeightOp<'_>, measured: &WeightSensitivity) -> Vec<(Format, Choice)> {
        let shape = weight.tensor_type();
        let (rows, cols) = (shape.rows().unwrap_or(0), shape.width());
        let kind = if reader_is_linear(weight) { OpKind::Linear } else { OpKind::Embed };
        let choice = |cost: &FormatCost| {
            // The layout is chosen later; none may take more than was reckoned with.
            let bytes =
                Layout::ALL.iter().map(|l| l.bytes(cost.format, rows, cols)).max().unwrap_or(0) as f64;
            let inside = is_decoder_linear(weight);
            let bits = if inside { 8.0 * bytes / self.decoder_weights } else { 0.0 };
            // A measured divergence may be a little below zero; a plan is no better for it.
            let mut costs = vec![cost.nats.max(0.0), bytes, bits];
            costs.extend(cost.strata.iter().map(|nats| nats.max(0.0)));
            for &tokens in self.tokens {
                costs.push(fastest(kind, (rows, cols, cost.format), tokens, self.selection)?.0);
            }
            Some((cost.format, Choice { name: cost.format.to_string(), costs }))
        };
        measured.formats.iter().filter_map(choice).collect()
    }

    /// What does not depend on any choice.
    fn rest(&self, module: &Module, strata: usize) -> Choice {
        let vectors = module.views::<WeightOp>().filter(|w| !is_matrix(w));
        let bytes: u64 = vectors.map(|w| 4 * w.tensor_type().width()).sum();
        let mut costs = vec![0.0, bytes as f64, 0.0];
        costs.extend(vec![0.0; strata]);
        costs.extend(self.tokens.iter().map(|&tokens| other_ops_time(module, tokens, self.selection).0));
        Choice { name: "as they are".into(), costs }
    }
}

fn unmeasured(weight: WeightOp<'_>) -> Diagnostic {
    Diagnostic::bad_input(UNMEASURED, format!("the profile has no measurement of `{}`", weight.key()))
        .at_op(weight.key())
        .hint("merge the profiles of all layers, or measure the whole model")
}

fn is_matrix(weight: &WeightOp<'_>) -> bool {
    matches!(weight.tensor_type().shape, Shape::Matrix { .. })
}

fn is_decoder_linear(weight: WeightOp<'_>) -> bool {
    weight.key().starts_with("layers.")
}

fn reader_is_linear(weight: WeightOp<'_>) -> bool {
    let readers = weight.module().users(weight.value());
    readers.iter().all(|op| weight.module().view::<LinearOp>(op.id()).is_some())
}

fn decoder_weights(module: &Module) -> f64 {
    let linears = module.views::<WeightOp>().filter(is_matrix).filter(|w| is_decoder_linear(*w));
    linears.map(|w| (w.tensor_type().rows().unwrap_or(0) * w.tensor_type().width()) as f64).sum()
}
