//! Solving a request, and a plan with its proof.

use std::fmt;

use super::{
    Costs, Error, GroupChoice, Problem, Resource, SolveRequest, Unit, explain::explain, program::Program,
    search::search,
};

/// A plan, and how good it provably is.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// What the plan does with each group, in the problem's order.
    pub chosen: Vec<GroupChoice>,
    /// What it spends of each resource: [`Problem::totals`].
    pub totals: Costs,
    /// What it spends of the resource that was minimised.
    pub objective: f64,
    /// No plan within the limits has a lower objective.
    pub bound: f64,
    /// `(objective − bound) / |objective|`
    pub gap: f64,
    /// How many relaxations were solved.
    pub nodes: usize,
    /// The limits in the request's order. Their [`Display`](fmt::Display) is a sentence for people.
    pub limits: Vec<LimitReport>,
}

/// A limit, and what the plan makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitReport {
    /// What is limited.
    pub resource: Resource,
    /// The most that is allowed, in the resource's unit.
    pub most: f64,
    /// What the plan spends: no more than `most`.
    pub spent: f64,
    /// Shadow price: what the objective changes by per unit of a higher limit; at most 0. From the relaxation, so that
    /// no higher limit buys more than this (and the gap), and a much higher one buys less.
    pub price: f64,
    /// What was minimised, which the price is paid in.
    pub objective: Resource,
}

/// Finds the plan that spends least of one resource within the limits.
///
/// # Errors
/// [`Error`]: a malformed problem or request, [`Error::Infeasible`] with what would have to change, or
/// [`Error::Undecided`].
pub fn solve(problem: &Problem, request: &SolveRequest) -> Result<Solution, Error> {
    problem.check(request)?;
    match attempt(problem, request) {
        Outcome::Solved(solution) => Ok(solution),
        Outcome::Infeasible => Err(Error::Infeasible(Box::new(explain(problem, request)))),
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
pub(super) fn attempt(problem: &Problem, request: &SolveRequest) -> Outcome {
    let mut program = Program::new(problem, request);
    let found = search(&mut program, request.stop);
    let Some(best) = found.plan else {
        let proved = found.bound == f64::INFINITY;
        return if proved { Outcome::Infeasible } else { Outcome::Undecided(found.nodes) };
    };
    let chosen = program.chosen(&best.assignment);
    let totals = problem.totals(&chosen);
    let objective = totals[&request.minimise];
    let limits = request.limits.iter().zip(found.prices).map(|(limit, price)| LimitReport {
        resource: limit.resource.clone(),
        most: limit.most,
        spent: totals[&limit.resource],
        price: 0.0 - price,
        objective: request.minimise.clone(),
    });
    let limits = limits.collect();
    let gap = if objective > found.bound { (objective - found.bound) / objective.abs() } else { 0.0 };
    Outcome::Solved(Solution {
        chosen,
        totals,
        objective,
        bound: found.bound,
        gap,
        nodes: found.nodes,
        limits,
    })
}

impl LimitReport {
    /// The shadow price as a sentence, such as `1 MB more weight bytes would save 0.000012 nats per token`.
    pub fn offer(&self) -> String {
        let LimitReport { resource, price, .. } = self;
        let (unit, objective) = (resource.unit(), self.objective.unit());
        let step = unit.step(self.most);
        let amount = match unit {
            Unit::Bits => format!("{step} more"),
            _ => format!("{} more", unit.show(step)),
        };
        let per = if objective == Unit::Nats { " per token" } else { "" };
        match *price {
            0.0 => format!("more {resource} would save nothing"),
            price => format!("{amount} {resource} would save {}{per}", objective.show(-price * step)),
        }
    }
}

impl fmt::Display for LimitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LimitReport { resource, most, spent, .. } = self;
        let unit = resource.unit();
        write!(
            f,
            "{resource}: {} of {}, {} left; ",
            unit.show(*spent),
            unit.show(*most),
            unit.show(most - spent)
        )?;
        let step = unit.step(*most);
        match self.price {
            0.0 => write!(f, "more buys nothing"),
            price => write!(f, "{} more buys {}", unit.show(step), self.objective.unit().show(price * step)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadow_prices_are_sentences() {
        let report = |resource, most, price| LimitReport {
            resource,
            most,
            spent: most,
            price,
            objective: Resource::Loss,
        };
        let bytes = report(Resource::WeightBytes, 38e6, -1.2e-11);
        assert_eq!(bytes.offer(), "1 MB more weight bytes would save 0.000012 nats per token");
        let bits = report(Resource::BitsPerWeight, 4.8, -0.002);
        assert_eq!(bits.offer(), "0.1 more bits per weight would save 0.0002 nats per token");
        assert_eq!(report(Resource::Loss, 0.01, 0.0).offer(), "more loss would save nothing");
    }
}
