//! Bytes against predicted loss: the plan among all that could have been chosen.
//!
//! The assignment problem is built again from the certificate's measurements. What lies outside the decoder keeps the
//! format that it has, so that the front has one axis: bits per weight and bytes tell the same.

use std::collections::BTreeMap;

use samp_abi::{
    Format,
    plan::{Op, OpKind, Plan, TensorId},
};
use samp_ir::Diagnostic;
use samp_passes::{
    FixedCosts, FormatCost, Formulation, Matrix, Sensitivities,
    assignment::{
        Axis, Costs, GroupChoice, Limit, Problem, Resource, SolveRequest, StopCriteria, pareto, solve,
    },
    formulate,
};

use super::{ReportInputs, layer_names::distinct};
use samp_compiler::{certificate::Profile, lower::predict, quantize::search::sensitivities};

use crate::error_code;

/// What a plan takes and what it is predicted to lose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Bytes of all weights.
    pub bytes: f64,
    /// Bits per weight over the decoder's linears.
    pub bits: f64,
    /// Nats per token, by the sum of what was measured.
    pub nats: f64,
}

/// A plan with one format for all of the decoder's linears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UniformPoint {
    /// The format of those linears.
    pub format: Format,
    /// What the plan takes and loses.
    pub point: Point,
}

/// The plan among all that could have been chosen: the Pareto front of bytes against predicted loss.
pub struct Front {
    /// The plan that the page is of.
    pub chosen: Point,
    /// Plans that nothing beats in both, the smallest first.
    pub best: Vec<Point>,
    /// Plans with one format for all of the decoder's linears.
    pub uniform: Vec<UniformPoint>,
    /// Nats that one more byte takes away, at most; never negative.
    pub nats_per_byte: f64,
}

/// Plans sought over the whole range, and as many again around the plan.
const STEPS: usize = 28;
/// A front is drawn: plans a thousandth from the best will do.
const STOP: StopCriteria = StopCriteria { gap: 1e-3, nodes: 200 };

impl Front {
    /// The front of a plan; `None` where nothing was measured.
    pub fn from_inputs(inputs: &ReportInputs<'_>) -> Result<Option<Front>, Diagnostic> {
        let Some(quality) = inputs.quality() else { return Ok(None) };
        let matrices = fused(matrices(inputs.plan), &quality.profile);
        let decided: BTreeMap<&str, Format> =
            inputs.plan.tensors.iter().map(|t| (t.name.as_str(), t.format)).collect();
        let mut known = sensitivities(&quality.profile);
        for weight in known.weights.iter_mut().filter(|w| !w.key.starts_with("layers.")) {
            weight.formats.retain(|cost| decided.get(weight.key.as_str()) == Some(&cost.format));
        }
        let formulation = formulation(inputs.plan, &matrices, &known)?;
        let plan =
            |format_of: &dyn Fn(&str) -> Option<Format>| formulation.chosen(inputs.plan.kv.format, format_of);
        let Some(own) = plan(&|key| decided.get(key).copied()) else { return Ok(None) };
        let chosen = point(&formulation.problem, &own);
        let measured = quality.profile.weights.iter().flat_map(|w| &w.formats);
        let formats = distinct(measured.map(|s| s.format));
        let uniform = formats.into_iter().filter_map(|format| {
            let all = plan(&|key| {
                if key.starts_with("layers.") { Some(format) } else { decided.get(key).copied() }
            });
            Some(UniformPoint { format, point: point(&formulation.problem, &all?) })
        });
        let uniform = uniform.collect();
        let best = best(&formulation.problem, chosen)?;
        let nats_per_byte = exchange_rate(&formulation.problem, chosen)?;
        Ok(Some(Front { chosen, best, uniform, nats_per_byte }))
    }
}

/// Every matrix of a plan, in its order.
pub fn matrices(plan: &Plan) -> Vec<Matrix> {
    let linear = |id: TensorId| {
        plan.program.steps.iter().any(|step| matches!(step.op, Op::Linear { weight, .. } if weight == id))
    };
    let matrix = |(index, tensor): (usize, &samp_abi::plan::Tensor)| Matrix {
        key: tensor.name.clone(),
        rows: tensor.rows,
        cols: tensor.cols,
        reader: if linear(TensorId(index as u32)) { OpKind::Linear } else { OpKind::Embed },
    };
    plan.tensors.iter().enumerate().filter(|(_, tensor)| tensor.rows > 1).map(matrix).collect()
}

/// The matrices that were measured: members of a fused one that the plan holds split are one again.
fn fused(matrices: Vec<Matrix>, profile: &Profile) -> Vec<Matrix> {
    let mut all: Vec<Matrix> = vec![];
    for matrix in matrices {
        match profile.weight_of(&matrix.key) {
            Some(whole) if all.last().is_some_and(|last| last.key == whole.key) => {}
            Some(whole) => all.push(Matrix { key: whole.key.clone(), rows: whole.rows, ..matrix }),
            None => all.push(matrix),
        }
    }
    all
}

fn formulation(plan: &Plan, matrices: &[Matrix], known: &Sensitivities) -> Result<Formulation, Diagnostic> {
    let vectors = plan.tensors.iter().filter(|tensor| tensor.rows <= 1);
    let kv = FormatCost { format: plan.kv.format, nats: 0.0, strata: vec![] };
    let bytes = vectors.map(samp_abi::plan::Tensor::bytes).sum();
    let rest = FixedCosts { kv, bytes, device_bytes: 0, times: vec![] };
    formulate(matrices, &[rest], known, &[], &predict::selection(plan))
}

fn point(problem: &Problem, plan: &[GroupChoice]) -> Point {
    Point::from_totals(&problem.totals(plan))
}

impl Point {
    fn from_totals(totals: &Costs) -> Point {
        Point {
            bytes: totals[&Resource::WeightBytes],
            bits: totals[&Resource::BitsPerWeight],
            nats: totals[&Resource::Loss],
        }
    }
}

/// Plans that nothing beats, over the whole range and finer up to twice the plan's bits.
fn best(problem: &Problem, chosen: Point) -> Result<Vec<Point>, Diagnostic> {
    let axes = [Axis { resource: Resource::WeightBytes, steps: STEPS }];
    let near = Limit::new(Resource::BitsPerWeight, 2.0 * chosen.bits);
    let mut points = vec![];
    for limits in [vec![], vec![near]] {
        let request = SolveRequest { stop: STOP, ..SolveRequest::new(Resource::Loss, limits) };
        let plans = pareto(problem, &request, &axes).map_err(unsolved)?;
        points.extend(plans.iter().map(|plan| Point::from_totals(&plan.totals)));
    }
    points.sort_by(|a, b| a.bytes.total_cmp(&b.bytes).then(a.nats.total_cmp(&b.nats)));
    let mut least = f64::INFINITY;
    points.retain(|p| {
        let better = p.nats < least;
        least = least.min(p.nats);
        better
    });
    Ok(points)
}

fn exchange_rate(problem: &Problem, chosen: Point) -> Result<f64, Diagnostic> {
    let request = SolveRequest::new(Resource::Loss, vec![Limit::new(Resource::WeightBytes, chosen.bytes)]);
    let solution = solve(problem, &request).map_err(unsolved)?;
    Ok(solution.limits.first().map_or(0.0, |limit| -limit.price))
}

fn unsolved(error: samp_passes::assignment::Error) -> Diagnostic {
    Diagnostic::bad_input(
        error_code::NO_FRONT,
        format!("the certificate's measurements give no front: {error}"),
    )
    .hint("compile the plan again with --calib")
}
