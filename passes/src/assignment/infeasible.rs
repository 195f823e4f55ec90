//! Why no plan fits, and the least that would have to change.

use std::fmt;

use super::{
    Bar, Effort, Limit, Problem, Quantity, Request,
    program::Program,
    search::{Found, search},
};

/// Nodes for each question that an explanation asks. The answers need the right digits, not the last ones.
const NODES: usize = 500;

/// Why no plan satisfies the limits of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Infeasibility {
    /// Each limit with the least its quantity can be when nothing else is asked, in the request's order.
    pub needs: Vec<Need>,
    /// Indices of limits that cannot all hold, while any fewer of them can.
    pub conflict: Vec<usize>,
    /// Single changes of which each one alone makes the request feasible.
    pub relaxations: Vec<Relaxation>,
    /// Limits, one per limit of the request, that do hold together: each in turn is raised no more than the ones before it
    /// make necessary.
    pub together: Vec<f64>,
}

/// A limit and what its quantity needs by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// The quantity.
    pub quantity: Quantity,
    /// The quantity in words.
    pub label: String,
    /// The limit that was asked for.
    pub limit: f64,
    /// The least that any plan can have.
    pub least: f64,
}

/// One change that makes the request feasible.
#[derive(Clone, Debug, PartialEq)]
pub enum Relaxation {
    /// Raise one limit.
    Raise {
        /// Its index in the request.
        limit: usize,
        /// What it has to be at least.
        to: f64,
    },
    /// Allow a format that is barred.
    Lift(Bar),
}

/// Explains a request that has been proved infeasible.
pub(super) fn explain(problem: &Problem, request: &Request) -> Infeasibility {
    let effort = Effort { gap: request.effort.gap.max(1e-4), nodes: request.effort.nodes.min(NODES) };
    let asker = Asker { problem, effort };
    let limits = &request.limits;
    let need = |limit: &Limit| Need {
        quantity: limit.quantity,
        label: limit.quantity.label(problem),
        limit: limit.at_most,
        least: asker.least(limit.quantity, &[]).bound,
    };
    Infeasibility {
        needs: limits.iter().map(need).collect(),
        conflict: asker.conflict(limits),
        relaxations: asker.raises(limits).chain(asker.lifts(limits)).collect(),
        together: asker.together(limits),
    }
}

struct Asker<'a> {
    problem: &'a Problem,
    effort: Effort,
}

impl Asker<'_> {
    fn least(&self, quantity: Quantity, limits: &[Limit]) -> Found {
        search(&Program::new(self.problem, &[(quantity, 1.0)], limits), self.effort)
    }

    /// Whether the limits provably cannot all hold.
    fn excludes(&self, limits: &[Limit]) -> bool {
        let Some((first, rest)) = limits.split_first() else { return false };
        self.least(first.quantity, rest).bound > first.at_most
    }

    /// Leaves out one limit after the other while the rest still conflicts (deletion filter: Chinneck and Dravnieks,
    /// 1991).
    fn conflict(&self, limits: &[Limit]) -> Vec<usize> {
        let mut kept: Vec<usize> = (0..limits.len()).collect();
        for i in 0..limits.len() {
            let fewer: Vec<usize> = kept.iter().copied().filter(|&k| k != i).collect();
            let those: Vec<Limit> = fewer.iter().map(|&k| limits[k]).collect();
            if self.excludes(&those) {
                kept = fewer;
            }
        }
        kept
    }

    fn raises(&self, limits: &[Limit]) -> impl Iterator<Item = Relaxation> {
        (0..limits.len()).filter_map(|limit| {
            let others: Vec<Limit> = limits.iter().enumerate().filter(|(i, _)| *i != limit).map(|(_, l)| *l).collect();
            let (_, to) = self.least(limits[limit].quantity, &others).plan?;
            (to > limits[limit].at_most).then_some(Relaxation::Raise { limit, to })
        })
    }

    fn lifts(&self, limits: &[Limit]) -> impl Iterator<Item = Relaxation> {
        self.problem.bars.iter().enumerate().filter_map(|(i, bar)| {
            let mut problem = self.problem.clone();
            problem.bars.remove(i);
            let (first, rest) = limits.split_first()?;
            let (_, value) = Asker { problem: &problem, ..*self }.least(first.quantity, rest).plan?;
            (value <= first.at_most).then(|| Relaxation::Lift(bar.clone()))
        })
    }

    fn together(&self, limits: &[Limit]) -> Vec<f64> {
        let mut held: Vec<Limit> = vec![];
        for limit in limits {
            let least = self.least(limit.quantity, &held).plan.map_or(f64::INFINITY, |plan| plan.1);
            held.push(Limit { at_most: limit.at_most.max(least), ..*limit });
        }
        held.iter().map(|l| l.at_most).collect()
    }
}

impl fmt::Display for Infeasibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (alone, labels) = (|n: &&Need| n.least > n.limit, |i: &usize| self.needs[*i].label.as_str());
        for need in self.needs.iter().filter(alone) {
            let (least, limit) = (need.quantity.show(need.least), need.quantity.show(need.limit));
            write!(f, "{}: at least {least} in any plan, the limit is {limit}. ", need.label)?;
        }
        if self.conflict.len() > 1 {
            let all: Vec<&str> = self.conflict.iter().map(labels).collect();
            write!(f, "The limits on {} cannot hold together. ", all.join(", "))?;
        }
        let ways: Vec<String> = self.relaxations.iter().map(|r| self.way(r)).collect();
        match ways.is_empty() {
            true => write!(f, "No single change is enough; together: {}.", self.all_raised()),
            false => write!(f, "Any one of these is enough: {}.", ways.join("; ")),
        }
    }
}

impl Infeasibility {
    fn way(&self, relaxation: &Relaxation) -> String {
        match relaxation {
            Relaxation::Raise { limit, to } => self.raised(*limit, *to),
            Relaxation::Lift(bar) => format!("allow {} for {}", bar.format, bar.class),
        }
    }

    fn raised(&self, limit: usize, to: f64) -> String {
        let Need { quantity, label, limit, .. } = &self.needs[limit];
        format!("{label} of {} ({} more)", quantity.show(to), quantity.show(to - limit))
    }

    fn all_raised(&self) -> String {
        let raised = self.together.iter().enumerate().filter(|&(i, to)| *to > self.needs[i].limit);
        raised.map(|(i, to)| self.raised(i, *to)).collect::<Vec<_>>().join(", ")
    }
}
