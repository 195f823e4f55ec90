//! Solving a request, and a plan with its proof.

use std::fmt;

use super::{
    Error, Infeasibility, Limit, Problem, Quantity, Request, infeasible::explain, problem::number, program::Program,
    search::search,
};

/// How a request ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A plan, with its distance from the best there can be.
    Solved(Solution),
    /// Proved: no plan satisfies the limits.
    Infeasible(Infeasibility),
    /// The nodes ran out before a plan was found or excluded.
    Undecided {
        /// No plan has a lower objective.
        bound: f64,
        /// Nodes searched.
        nodes: usize,
    },
}

/// A plan, and how good it provably is.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// The chosen candidate of each group, in the problem's order.
    pub choices: Vec<usize>,
    /// What was minimised.
    pub quantity: Quantity,
    /// Its value, in the quantity's unit.
    pub objective: f64,
    /// No plan within the limits has a lower objective.
    pub bound: f64,
    /// `(objective − bound) / |objective|`
    pub gap: f64,
    /// Nodes searched.
    pub nodes: usize,
    /// The limits in the request's order.
    pub rows: Vec<RowReport>,
}

/// A limit, and what the plan makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RowReport {
    /// The quantity.
    pub quantity: Quantity,
    /// The quantity in words.
    pub label: String,
    /// The most that is allowed.
    pub limit: f64,
    /// What the plan takes.
    pub value: f64,
    /// What it leaves: `limit − value`. Below zero at most by the rounding of the sum.
    pub slack: f64,
    /// Shadow price: how the objective changes per unit of a higher limit, at most 0. From the linear relaxation, so
    /// it holds for changes small enough not to turn many decisions.
    pub price: f64,
    objective: Quantity,
}

/// Finds the plan with the least objective within the limits.
///
/// # Errors
/// [`Error`] for a problem or request that is malformed. That no plan fits is an [`Outcome`].
pub fn solve(problem: &Problem, request: &Request) -> Result<Outcome, Error> {
    validate(problem, request)?;
    let program = Program::new(problem, &[(request.objective, 1.0)], &request.limits);
    let found = search(&program, request.effort);
    Ok(match found.plan {
        Some((choices, _)) => {
            let objective = problem.total(request.objective, &choices);
            let bound = found.bound.min(objective);
            let report = |(limit, price)| RowReport::new(problem, request, &choices, limit, price);
            let rows = request.limits.iter().zip(found.prices).map(report).collect();
            let (quantity, gap) = (request.objective, relative(objective - bound, objective));
            Outcome::Solved(Solution { choices, quantity, objective, bound, gap, nodes: found.nodes, rows })
        }
        None if found.bound == f64::INFINITY => Outcome::Infeasible(explain(problem, request)),
        None => Outcome::Undecided { bound: found.bound, nodes: found.nodes },
    })
}

/// Refuses what cannot be solved.
pub(super) fn validate(problem: &Problem, request: &Request) -> Result<(), Error> {
    problem.validate()?;
    problem.validate_quantity(request.objective)?;
    for limit in &request.limits {
        problem.validate_quantity(limit.quantity)?;
        number(limit.at_most, || format!("limit on {}", limit.quantity.label(problem)))?;
    }
    Ok(())
}

fn relative(difference: f64, of: f64) -> f64 {
    if difference <= 0.0 { 0.0 } else { difference / of.abs() }
}

impl RowReport {
    fn new(problem: &Problem, request: &Request, choices: &[usize], limit: &Limit, price: f64) -> RowReport {
        let value = problem.total(limit.quantity, choices);
        RowReport {
            quantity: limit.quantity,
            label: limit.quantity.label(problem),
            limit: limit.at_most,
            value,
            slack: limit.at_most - value,
            price: -price,
            objective: request.objective,
        }
    }
}

impl fmt::Display for RowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowReport { quantity, label, limit, value, slack, .. } = self;
        let (value, limit_text) = (quantity.show(*value), quantity.show(*limit));
        write!(f, "{label}: {value} of {limit_text}, {} left; ", quantity.show(slack.max(0.0)))?;
        let step = quantity.step(*limit);
        match self.price {
            0.0 => write!(f, "more buys nothing"),
            price => write!(f, "{} more buys {}", quantity.show(step), self.objective.show(price * step)),
        }
    }
}
