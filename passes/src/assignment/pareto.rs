//! Plans that trade one resource for another, none of them beaten in all.

use super::{
    Error, Limit, Problem, Resource, Solution, SolveRequest,
    solution::{Outcome, attempt, solve},
};

/// A resource to trade the objective against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The resource whose limit falls from step to step.
    pub resource: Resource,
    /// How many limits on it are tried, from what the best objective spends down to the least possible; at least 2
    /// have a meaning.
    pub steps: usize,
}

/// The Pareto front of the objective over the axes within the request's limits, in ascending order of the axes.
///
/// The ε-constraint method (Haimes, Lasdon and Wismer, 1971): the objective is minimised under a falling limit on each
/// axis; limits that the last plan already meets are passed over. Each plan is as near to the best under its limits as
/// its [`Solution::gap`] says; the front is complete where the steps are finer than the distance between plans.
///
/// Many plans are solved for: a wider [`StopCriteria`](super::StopCriteria) than for a single one is wise.
///
/// # Errors
/// As [`solve`] for the request itself.
pub fn pareto(problem: &Problem, request: &SolveRequest, axes: &[Axis]) -> Result<Vec<Solution>, Error> {
    axes.iter().try_for_each(|axis| problem.declares(&axis.resource))?;
    solve(problem, request)?;
    let sweep = Sweep { problem, request, axes };
    let mut plans = sweep.under(&mut request.limits.clone(), 0);
    let point = |s: &Solution| -> Vec<f64> {
        axes.iter().map(|axis| s.totals[&axis.resource]).chain([s.objective]).collect()
    };
    plans.sort_by(|a, b| {
        let (a, b) = (point(a), point(b));
        let order = a.iter().zip(&b).map(|(x, y)| x.total_cmp(y)).find(|o| o.is_ne());
        order.unwrap_or(std::cmp::Ordering::Equal)
    });
    // In this order nothing is beaten by what comes after it.
    let mut front: Vec<Solution> = vec![];
    for plan in plans {
        let own = point(&plan);
        if !front.iter().any(|p| point(p).iter().zip(&own).all(|(x, y)| x <= y)) {
            front.push(plan);
        }
    }
    Ok(front)
}

struct Sweep<'a> {
    problem: &'a Problem,
    request: &'a SolveRequest,
    axes: &'a [Axis],
}

impl Sweep<'_> {
    /// The plans found by lowering the axes from `depth` on, under the limits so far.
    fn under(&self, limits: &mut Vec<Limit>, depth: usize) -> Vec<Solution> {
        let Some(Axis { resource, steps }) = self.axes.get(depth) else {
            return self.least(&self.request.minimise, limits).into_iter().collect();
        };
        let spent = |s: &Solution| s.totals[resource];
        let most = |plans: &[Solution]| plans.iter().map(spent).fold(f64::NEG_INFINITY, f64::max);
        let mut plans = self.under(limits, depth + 1);
        // The least of an axis is known to a gap, so that a limit near it can be a hair too low for any plan.
        let Some(bottom) = self.least(resource, limits).as_ref().map(spent) else { return plans };
        let (top, mut met) = (most(&plans), most(&plans));
        for step in 1..*steps {
            let share = (steps - 1 - step) as f64 / (steps - 1) as f64;
            let limit = bottom + (top - bottom) * share;
            if limit < met {
                limits.push(Limit::new(resource.clone(), limit));
                let found = self.under(limits, depth + 1);
                limits.pop();
                met = most(&found).min(limit);
                plans.extend(found);
            }
        }
        plans
    }

    fn least(&self, minimise: &Resource, limits: &[Limit]) -> Option<Solution> {
        let (minimise, limits) = (minimise.clone(), limits.to_vec());
        let request = SolveRequest { minimise, limits, stop: self.request.stop };
        match attempt(self.problem, &request) {
            Outcome::Solved(solution) => Some(solution),
            Outcome::Infeasible | Outcome::Undecided(_) => None,
        }
    }
}
