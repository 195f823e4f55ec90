//! Solving a request, and a plan with its proof.

use std::fmt;

use super::{Chosen, Error, Problem, Request, Unit, infeasible::explain, program::Program, search::search};

/// A plan, and how good it provably is.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// What the plan does with each group, in the problem's order.
    pub chosen: Vec<Chosen>,
    /// What it spends of each resource, in the problem's order: [`Problem::totals`].
    pub totals: Vec<f64>,
    /// What it spends of the resource that was minimised.
    pub objective: f64,
    /// No plan within the limits has a lower objective.
    pub bound: f64,
    /// `(objective − bound) / |objective|`
    pub gap: f64,
    /// Relaxations solved.
    pub nodes: usize,
    /// The limits in the request's order. Their [`Display`](fmt::Display) is a sentence for people.
    pub limits: Vec<LimitReport>,
}

/// A limit, and what the plan makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitReport {
    /// The resource's name.
    pub resource: String,
    /// The most that is allowed, in the resource's unit.
    pub at_most: f64,
    /// What the plan spends: at most `at_most`.
    pub spent: f64,
    /// Shadow price: what the objective changes by per unit of a higher limit; at most 0. From the relaxation, so that
    /// no higher limit buys more than this (and the gap), and a much higher one buys less.
    pub price: f64,
    unit: Unit,
    objective: Unit,
}

/// Finds the plan that spends least of one resource within the limits.
///
/// # Errors
/// [`Error`]: a malformed problem or request, [`Error::Infeasible`] with what would have to change, or
/// [`Error::Undecided`].
pub fn solve(problem: &Problem, request: &Request) -> Result<Solution, Error> {
    problem.check(request)?;
    match attempt(problem, request)? {
        Outcome::Solved(solution) => Ok(solution),
        Outcome::Infeasible => Err(Error::Infeasible(Box::new(explain(problem, request)?))),
        Outcome::Undecided(nodes) => Err(Error::Undecided { nodes }),
    }
}

/// How a search ended.
pub(super) enum Outcome {
    Solved(Solution),
    Infeasible,
    /// After this many nodes.
    Undecided(usize),
}

/// Solves a checked request without explaining why it cannot be.
pub(super) fn attempt(problem: &Problem, request: &Request) -> Result<Outcome, Error> {
    let mut program = Program::new(problem, request)?;
    let found = search(&mut program, request.effort);
    let Some((assignment, _)) = found.plan else {
        let proved = found.bound == f64::INFINITY;
        return Ok(if proved { Outcome::Infeasible } else { Outcome::Undecided(found.nodes) });
    };
    let chosen = program.chosen(&assignment);
    let totals = problem.totals(&chosen);
    let minimised = problem.resource(&request.minimise)?;
    let objective = totals[minimised];
    let mut limits = vec![];
    for (limit, price) in request.limits.iter().zip(found.prices) {
        let resource = problem.resource(&limit.resource)?;
        limits.push(LimitReport {
            resource: limit.resource.clone(),
            at_most: limit.at_most,
            spent: totals[resource],
            price: 0.0 - price,
            unit: problem.resources[resource].unit,
            objective: problem.resources[minimised].unit,
        });
    }
    let gap = if objective > found.bound { (objective - found.bound) / objective.abs() } else { 0.0 };
    Ok(Outcome::Solved(Solution {
        chosen,
        totals,
        objective,
        bound: found.bound,
        gap,
        nodes: found.nodes,
        limits,
    }))
}

impl LimitReport {
    /// The shadow price as a sentence, such as `1 MB more weight bytes would save 0.000012 nats per token`.
    pub fn offer(&self) -> String {
        let LimitReport { resource, unit, objective, price, .. } = self;
        let step = unit.step(self.at_most);
        let amount = match unit {
            Unit::Bits => format!("{step} more"),
            _ => format!("{} more", unit.show(step)),
        };
        let per = if *objective == Unit::Nats { " per token" } else { "" };
        match *price {
            0.0 => format!("more {resource} would save nothing"),
            price => format!("{amount} {resource} would save {}{per}", objective.show(-price * step)),
        }
    }
}

impl fmt::Display for LimitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LimitReport { resource, at_most, spent, unit, .. } = self;
        write!(
            f,
            "{resource}: {} of {}, {} left; ",
            unit.show(*spent),
            unit.show(*at_most),
            unit.show(at_most - spent)
        )?;
        let step = unit.step(*at_most);
        match self.price {
            0.0 => write!(f, "more buys nothing"),
            price => write!(f, "{} more buys {}", unit.show(step), self.objective.show(price * step)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadow_prices_are_sentences() {
        let report = |resource: &str, unit: Unit, at_most: f64, price: f64| LimitReport {
            resource: resource.into(),
            at_most,
            spent: at_most,
            price,
            unit,
            objective: Unit::Nats,
        };
        let bytes = report("weight bytes", Unit::Bytes, 38e6, -1.2e-11);
        assert_eq!(bytes.offer(), "1 MB more weight bytes would save 0.000012 nats per token");
        let bits = report("bits per weight", Unit::Bits, 4.8, -0.002);
        assert_eq!(bits.offer(), "0.1 more bits per weight would save 0.0002 nats per token");
        assert_eq!(report("loss", Unit::Nats, 0.01, 0.0).offer(), "more loss would save nothing");
    }
}
