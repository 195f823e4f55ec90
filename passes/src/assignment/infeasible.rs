//! What the limits would have to be.

use std::fmt;

use super::{
    Error, Limit, Problem, Resource, SolveRequest, StopCriteria,
    program::{OBJECTIVE, Program},
    search::search,
};

/// Each question of an explanation is worth this much: its answer needs the right digits, not the last ones.
const STOP: StopCriteria = StopCriteria { gap: 1e-6, nodes: 1_000 };

/// For each limit what it would have to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Infeasibility {
    /// One per limit, in the request's order.
    pub relaxations: Vec<Relaxation>,
}

/// A limit, and the smallest ways to relax it.
#[derive(Clone, Debug, PartialEq)]
pub struct Relaxation {
    /// What is limited.
    pub resource: Resource,
    /// The limit that was asked for, in the resource's unit.
    pub most: f64,
    /// No plan at all spends less than this.
    pub least: f64,
    /// To raise this limit alone to this makes the request feasible; `None` when the other limits exclude each other
    /// or, rarely, when the nodes ran out.
    pub alone: Option<f64>,
    /// To raise every limit to this makes the request feasible: each is raised no more than the ones before it make
    /// necessary. Infinite where the nodes ran out.
    pub together: f64,
}

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
    found.plan.map(|(_, totals)| totals[OBJECTIVE])
}

impl fmt::Display for Infeasibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let impossible: Vec<&Relaxation> = self.relaxations.iter().filter(|r| r.least > r.most).collect();
        for r in &impossible {
            let (least, limit) = (r.resource.unit().show(r.least), r.resource.unit().show(r.most));
            write!(f, "{}: every plan needs at least {least}, the limit is {limit}. ", r.resource)?;
        }
        if impossible.is_empty() {
            let all: Vec<String> = self
                .relaxations
                .iter()
                .map(|r| format!("{} {}", r.resource, r.resource.unit().show(r.most)))
                .collect();
            write!(f, "No plan satisfies all of: {}. ", all.join(", "))?;
        }
        let alone: Vec<String> = self.relaxations.iter().filter_map(|r| r.raised(r.alone?)).collect();
        if alone.is_empty() {
            let together: Vec<String> =
                self.relaxations.iter().filter_map(|r| r.raised(r.together)).collect();
            return write!(f, "No single change is enough; together: {}.", together.join(", "));
        }
        let lead =
            if alone.len() == 1 { "What satisfies all other limits needs" } else { "Any one is enough:" };
        write!(f, "{lead} {}.", alone.join("; "))
    }
}

impl Relaxation {
    /// `weights 45.37 GB (7.37 GB more)`, for a limit that has to be raised.
    fn raised(&self, to: f64) -> Option<String> {
        let unit = self.resource.unit();
        let (to_text, more) = (unit.show(to), unit.show(to - self.most));
        (to > self.most && to.is_finite()).then(|| format!("{} {to_text} ({more} more)", self.resource))
    }
}
