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
    Selection, Sensitivities,
    assign_recipe::projection_key,
    assignment::{self, Limit, Problem, Request, Solution},
    formulation::{BITS, BYTES, Fixed, Formulation, LOSS, Matrix, formulate, latency_name, stratum_name},
    recipe::{Recipe, Rule},
    select_kernels::other_ops_time,
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

/// Solves for the formats of every matrix.
pub fn assign_precision(
    module: &Module,
    known: &Sensitivities,
    demands: &Demands,
    selection: &Selection,
) -> Result<Decision, Diagnostic> {
    let formulation = formulation(module, known, demands, selection)?;
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

/// The problem of a graph.
fn formulation(
    module: &Module,
    known: &Sensitivities,
    demands: &Demands,
    selection: &Selection,
) -> Result<Formulation, Diagnostic> {
    let mut tokens: Vec<u64> = demands.latency.iter().map(|&(tokens, _)| tokens).collect();
    tokens.extend((demands.objective == Objective::Latency && !tokens.contains(&1)).then_some(1));
    let vectors = module.views::<WeightOp>().filter(|w| !is_matrix(w));
    let fixed = Fixed {
        bytes: vectors.map(|w| 4 * w.tensor_type().width()).sum(),
        times: tokens.iter().map(|&tokens| other_ops_time(module, tokens, selection).0).collect(),
    };
    let matrices: Vec<Matrix> = module.views::<WeightOp>().filter(is_matrix).map(matrix).collect();
    formulate(&matrices, &fixed, known, &tokens, selection)
}

fn matrix(weight: WeightOp<'_>) -> Matrix {
    let shape = weight.tensor_type();
    let reader = if reader_is_linear(weight) { OpKind::Linear } else { OpKind::Embed };
    Matrix { key: weight.key().to_owned(), rows: shape.rows().unwrap_or(0), cols: shape.width(), reader }
}

fn is_matrix(weight: &WeightOp<'_>) -> bool {
    matches!(weight.tensor_type().shape, Shape::Matrix { .. })
}

fn reader_is_linear(weight: WeightOp<'_>) -> bool {
    let readers = weight.module().users(weight.value());
    readers.iter().all(|op| weight.module().view::<LinearOp>(op.id()).is_some())
}
