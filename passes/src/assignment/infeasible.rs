//! What the limits would have to be.

use std::fmt;

use super::{Effort, Error, Limit, Problem, Request, Unit, program::Program, search::search};

/// Each question of an explanation is worth this much: its answer needs the right digits, not the last ones.
const EFFORT: Effort = Effort { gap: 1e-6, nodes: 1_000 };

/// For each limit what it would have to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Infeasibility {
    /// One per limit, in the request's order.
    pub relaxations: Vec<Relaxation>,
}

/// A limit, and the smallest ways to relax it.
#[derive(Clone, Debug, PartialEq)]
pub struct Relaxation {
    /// The resource's name.
    pub resource: String,
    /// The limit that was asked for, in the resource's unit.
    pub at_most: f64,
    /// No plan at all spends less than this.
    pub least: f64,
    /// To raise this limit alone to this makes the request feasible; `None` when the other limits exclude each other
    /// or, rarely, when the nodes ran out.
    pub alone: Option<f64>,
    /// To raise every limit to this makes the request feasible: each is raised no more than the ones before it make
    /// necessary. Infinite where the nodes ran out.
    pub together: f64,
    unit: Unit,
}

/// Says for each limit how far it is from one that a plan can satisfy. For a feasible request every
/// [`Relaxation::alone`] is at most the limit.
///
/// # Errors
/// [`Error`] for a malformed problem or request.
pub fn explain_infeasible(problem: &Problem, request: &Request) -> Result<Infeasibility, Error> {
    problem.check(request)?;
    explain(problem, request)
}

pub(super) fn explain(problem: &Problem, request: &Request) -> Result<Infeasibility, Error> {
    let limits = &request.limits;
    let mut relaxations: Vec<Relaxation> = vec![];
    let mut held: Vec<Limit> = vec![];
    for (i, limit) in limits.iter().enumerate() {
        let resource = limit.resource.clone();
        let others = [&limits[..i], &limits[i + 1..]].concat();
        let least = least(problem, &resource, &[])?.unwrap_or(f64::NEG_INFINITY);
        let alone = self::least(problem, &resource, &others)?;
        let together =
            self::least(problem, &resource, &held)?.map_or(f64::INFINITY, |l| l.max(limit.at_most));
        held.push(Limit { resource: resource.clone(), at_most: together });
        let unit = problem.resources[problem.resource(&resource)?].unit;
        relaxations.push(Relaxation { resource, at_most: limit.at_most, least, alone, together, unit });
    }
    Ok(Infeasibility { relaxations })
}

/// The least of a resource that a plan within the limits was found to spend.
fn least(problem: &Problem, resource: &str, limits: &[Limit]) -> Result<Option<f64>, Error> {
    let request = Request { minimise: resource.into(), limits: limits.to_vec(), effort: EFFORT };
    let found = search(&mut Program::new(problem, &request)?, EFFORT);
    Ok(found.plan.map(|(_, totals)| totals[0]))
}

impl fmt::Display for Infeasibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let impossible: Vec<&Relaxation> = self.relaxations.iter().filter(|r| r.least > r.at_most).collect();
        for r in &impossible {
            let (least, limit) = (r.unit.show(r.least), r.unit.show(r.at_most));
            write!(f, "{}: every plan needs at least {least}, the limit is {limit}. ", r.resource)?;
        }
        if impossible.is_empty() {
            let all: Vec<String> = self
                .relaxations
                .iter()
                .map(|r| format!("{} {}", r.resource, r.unit.show(r.at_most)))
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
        let (to_text, more) = (self.unit.show(to), self.unit.show(to - self.at_most));
        (to > self.at_most && to.is_finite()).then(|| format!("{} {to_text} ({more} more)", self.resource))
    }
}
