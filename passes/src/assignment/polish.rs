//! From a mixture to an assignment near it, and from there to a good one within the limits, one group at a time.

use super::{
    program::{Assignment, OBJECTIVE, Program},
    relaxation::Relaxed,
};

/// Changes per group, at most.
const MOST_CHANGES: usize = 2;

/// Takes for each group in turn what one of the mixed assignments does with it: that which keeps what has been spent so
/// far nearest to what the mixture has. So many equal groups are shared out as the mixture shares each of them.
pub(super) fn rounded(program: &Program, relaxed: &Relaxed) -> Assignment {
    let ways: Vec<Vec<Assignment>> =
        relaxed.mixture.iter().map(|(column, _)| by_group(program, &column.assignment)).collect();
    let mut owed = vec![0.0; program.width];
    let mut assignment = Assignment::new();
    for group in 0..program.groups.len() {
        let spent: Vec<Vec<f64>> = ways.iter().map(|way| program.totals(&way[group])).collect();
        for (spent, (_, share)) in spent.iter().zip(&relaxed.mixture) {
            owed.iter_mut().zip(spent).for_each(|(o, s)| *o += share * s);
        }
        let distance = |way: usize| -> f64 {
            let off = owed.iter().zip(&spent[way]).zip(&program.scale);
            off.map(|((o, s), scale)| ((o - s) / scale).powi(2)).sum()
        };
        let nearest = |a: usize, b: usize| if distance(b) < distance(a) { b } else { a };
        let Some(way) = (0..ways.len()).reduce(nearest) else { continue };
        owed.iter_mut().zip(&spent[way]).for_each(|(o, s)| *o -= s);
        assignment.extend(&ways[way][group]);
    }
    assignment
}

/// Brings an assignment within the limits, each time by the change that gains most for what it costs at the prices,
/// then lowers its objective as long as one change can. `None` when it does not get within the limits.
pub(super) fn polish(
    program: &Program,
    assignment: &[u32],
    prices: &[f64],
    allowed: &[bool],
) -> Option<Assignment> {
    let mut plan = Plan { program, prices, allowed, taken: by_group(program, assignment), totals: vec![] };
    plan.totals = program.totals(&plan.taken.concat());
    let mut best: Option<(f64, Assignment)> = None;
    for _ in 0..MOST_CHANGES * program.groups.len() + 1 {
        if program.fits(&plan.totals) && best.as_ref().is_none_or(|b| plan.totals[OBJECTIVE] < b.0) {
            best = Some((plan.totals[OBJECTIVE], plan.taken.concat()));
        }
        let Some((group, change)) = plan.best_change() else { break };
        plan.taken[group] = change;
        plan.totals = program.totals(&plan.taken.concat());
    }
    best.map(|(_, assignment)| assignment)
}

struct Plan<'a> {
    program: &'a Program,
    prices: &'a [f64],
    allowed: &'a [bool],
    taken: Vec<Assignment>,
    totals: Vec<f64>,
}

impl Plan<'_> {
    fn best_change(&self) -> Option<(usize, Assignment)> {
        let over = self.over(|_| 0.0);
        let mut best: (f64, Option<(usize, Assignment)>) = (0.0, None);
        for group in 0..self.taken.len() {
            let old = self.program.totals(&self.taken[group]);
            self.changes(group, |new| {
                let spent = self.program.totals(new);
                let change = |r: usize| spent[r] - old[r];
                let gain = over - self.over(change);
                let merit = if over > 0.0 {
                    let cost: f64 = self.prices.iter().enumerate().map(|(r, p)| p * change(r)).sum();
                    if gain > 0.0 { gain / cost.max(1e-12) } else { 0.0 }
                } else if gain >= 0.0 {
                    -change(OBJECTIVE)
                } else {
                    0.0
                };
                if merit > best.0 {
                    best = (merit, Some((group, new.to_vec())));
                }
            });
        }
        best.1
    }

    /// By how much the limits would be exceeded after a change, in sum and relative to each row's scale.
    fn over(&self, change: impl Fn(usize) -> f64) -> f64 {
        let limits = (OBJECTIVE + 1..).zip(&self.program.limits);
        let violation = |(row, limit): (usize, &f64)| {
            f64::max(0.0, self.totals[row] + change(row) - limit) / self.program.scale[row]
        };
        limits.map(violation).sum()
    }

    /// All ways to change one choice of a group, and the cheapest of each other alternative.
    fn changes(&self, group: usize, mut visit: impl FnMut(&[u32])) {
        let (program, taken) = (self.program, &self.taken[group]);
        let current = program.alternative_of(group, taken[0]);
        let mut new = taken.clone();
        for (at, member) in program.alternatives[current].clone().enumerate() {
            for choice in program.members[member].clone() {
                if self.allowed[choice] && choice as u32 != taken[at] {
                    new[at] = choice as u32;
                    visit(&new);
                }
            }
            new[at] = taken[at];
        }
        for other in program.groups[group].clone().filter(|&a| a != current) {
            let members = program.alternatives[other].clone();
            let cheapest = members.map(|p| program.cheapest_choice(p, self.prices, self.allowed));
            let (costs, choices): (Vec<f64>, Assignment) = cheapest.unzip();
            if costs.iter().all(|c| c.is_finite()) {
                visit(&choices);
            }
        }
    }
}

fn by_group(program: &Program, assignment: &[u32]) -> Vec<Assignment> {
    let mut rest = assignment;
    let of_group = |group: usize| {
        let members = program.alternatives[program.alternative_of(group, rest[0])].len();
        let (own, others) = rest.split_at(members);
        rest = others;
        own.to_vec()
    };
    (0..program.groups.len()).map(of_group).collect()
}
