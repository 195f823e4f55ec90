//! Asks what the limits would have to be, where no plan satisfies them.

use super::{
    Error, Infeasibility, Limit, Problem, Relaxation, Resource, SolveRequest, StopCriteria,
    program::{OBJECTIVE, Program},
    search::search,
};

/// Each question of an explanation is worth this much: its answer needs the right digits, not the last ones.
const STOP: StopCriteria = StopCriteria { gap: 1e-6, nodes: 1_000 };

/// Says for each limit how far it is from one that a plan can satisfy. For a feasible request every
/// [`Relaxation::alone`] is at most the limit.
///
/// # Errors
/// [`Error`] for a malformed problem or request.
pub fn explain_infeasible(problem: &Problem, request: &SolveRequest) -> Result<Infeasibility, Error> {
    problem.check(request)?;
    Ok(explain(problem, request))
}

/// Explains a checked request.
pub(super) fn explain(problem: &Problem, request: &SolveRequest) -> Infeasibility {
    let limits = &request.limits;
    let mut relaxations: Vec<Relaxation> = vec![];
    let mut kept: Vec<Limit> = vec![];
    for (i, limit) in limits.iter().enumerate() {
        let resource = limit.resource.clone();
        let others = [&limits[..i], &limits[i + 1..]].concat();
        let least = least(problem, &resource, &[]).unwrap_or(f64::NEG_INFINITY);
        let alone = self::least(problem, &resource, &others);
        let together = self::least(problem, &resource, &kept).map_or(f64::INFINITY, |l| l.max(limit.most));
        kept.push(Limit { resource: resource.clone(), most: together });
        relaxations.push(Relaxation { resource, most: limit.most, least, alone, together });
    }
    Infeasibility { relaxations }
}

/// The least of a resource that a plan within the limits was found to spend.
fn least(problem: &Problem, resource: &Resource, limits: &[Limit]) -> Option<f64> {
    let request = SolveRequest { minimise: resource.clone(), limits: limits.to_vec(), stop: STOP };
    let found = search(&mut Program::new(problem, &request), STOP);
    found.plan.map(|best| best.totals[OBJECTIVE])
}
