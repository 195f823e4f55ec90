//! A problem and a request as flat arrays, and the one question that the relaxation asks of them.

use std::ops::Range;

use super::{GroupChoice, Problem, Resource, SolveRequest};

/// The choices taken, as flat indices in the order of the groups and members.
pub(super) type Assignment = Vec<u32>;

/// The row of the objective; the limits' rows follow in the request's order. One resource may have several rows.
pub(super) const OBJECTIVE: usize = 0;

/// A problem's costs as a matrix, with a row for the objective and one for each limit.
pub(super) struct Program {
    /// Alternatives of each group, members of each alternative, choices of each member.
    pub(super) groups: Vec<Range<usize>>,
    pub(super) alternatives: Vec<Range<usize>>,
    pub(super) members: Vec<Range<usize>>,
    /// Choice × row, in the resources' units.
    costs: Vec<f64>,
    /// One more than there are limits.
    pub(super) width: usize,
    /// The most of each limit, in its resource's unit.
    pub(super) limits: Vec<f64>,
    /// Roughly the distance between the largest and the least total of each row; never 0.
    pub(super) scale: Vec<f64>,
    /// Totals of the assignment with the least objective: scaled totals count from here.
    origin: Vec<f64>,
}

impl Program {
    /// Of a problem and a request that were checked.
    pub(super) fn new(problem: &Problem, request: &SolveRequest) -> Program {
        let limited = request.limits.iter().map(|limit| &limit.resource);
        let rows: Vec<&Resource> = [&request.minimise].into_iter().chain(limited).collect();
        let mut program = Program {
            groups: vec![],
            alternatives: vec![],
            members: vec![],
            costs: vec![],
            width: rows.len(),
            limits: request.limits.iter().map(|limit| limit.most).collect(),
            scale: vec![],
            origin: vec![],
        };
        for group in &problem.groups {
            let first = program.alternatives.len();
            for alternative in &group.alternatives {
                let first = program.members.len();
                for member in &alternative.members {
                    let first = program.choices();
                    let costs = member.choices.iter().flat_map(|c| rows.iter().map(|&row| c.costs[row]));
                    program.costs.extend(costs);
                    program.members.push(first..program.choices());
                }
                program.alternatives.push(first..program.members.len());
            }
            program.groups.push(first..program.alternatives.len());
        }
        program.scale = (0..program.width).map(|r| program.spread(r)).collect();
        let mut only_objective = vec![0.0; program.width];
        only_objective[OBJECTIVE] = 1.0;
        let least = program.cheapest(&only_objective, &vec![true; program.choices()]);
        program.origin = program.totals(&least.unwrap_or_default());
        program
    }

    pub(super) fn choices(&self) -> usize {
        self.costs.len() / self.width
    }

    pub(super) fn costs(&self, choice: usize) -> &[f64] {
        &self.costs[choice * self.width..][..self.width]
    }

    /// The cost of a choice at a price per row.
    pub(super) fn price(&self, choice: usize, prices: &[f64]) -> f64 {
        self.costs(choice).iter().zip(prices).map(|(c, p)| c * p).sum()
    }

    /// What an assignment spends; to the bit what [`Problem::totals`] says.
    pub(super) fn totals(&self, assignment: &[u32]) -> Vec<f64> {
        let mut totals = vec![0.0; self.width];
        for &choice in assignment {
            totals.iter_mut().zip(self.costs(choice as usize)).for_each(|(t, c)| *t += c);
        }
        totals
    }

    /// Totals from the origin on, in units of the scale.
    pub(super) fn scaled(&self, totals: &[f64]) -> Vec<f64> {
        totals.iter().zip(&self.origin).zip(&self.scale).map(|((t, o), s)| (t - o) / s).collect()
    }

    /// The limits, scaled as the totals are.
    pub(super) fn room(&self) -> Vec<f64> {
        let frame = self.origin[1..].iter().zip(&self.scale[1..]);
        self.limits.iter().zip(frame).map(|(l, (o, s))| (l - o) / s).collect()
    }

    /// Rescales the objective to the size it has near a bound, so that what is next to nothing compared with the worst
    /// plan is still told apart.
    pub(super) fn zoom(&mut self, bound: f64) {
        let size = self.objective(bound).abs();
        if size.is_finite() {
            self.scale[OBJECTIVE] = size.clamp(1e-9 * self.scale[OBJECTIVE], self.scale[OBJECTIVE]);
        }
    }

    /// A scaled objective in the objective's own unit.
    pub(super) fn objective(&self, scaled: f64) -> f64 {
        self.origin[OBJECTIVE] + scaled * self.scale[OBJECTIVE]
    }

    /// An amount of the objective, scaled.
    pub(super) fn scaled_amount(&self, objective: f64) -> f64 {
        objective / self.scale[OBJECTIVE]
    }

    /// Prices per unit of each row, from weights of the scaled ones.
    pub(super) fn prices(&self, weights: &[f64]) -> Vec<f64> {
        weights.iter().zip(&self.scale).map(|(w, s)| w / s).collect()
    }

    /// Whether totals are within all limits.
    pub(super) fn fits(&self, totals: &[f64]) -> bool {
        totals[1..].iter().zip(&self.limits).all(|(total, limit)| total <= limit)
    }

    /// The choices that none of the same member beats in all rows. Of equal ones the first stays.
    pub(super) fn undominated(&self) -> Vec<bool> {
        let mut kept = vec![true; self.choices()];
        for member in &self.members {
            for a in member.clone() {
                let beats = |b: usize| {
                    let pairs = || self.costs(b).iter().zip(self.costs(a));
                    pairs().all(|(x, y)| x <= y) && (b < a || pairs().any(|(x, y)| x < y))
                };
                kept[a] = !member.clone().any(|b| b != a && beats(b));
            }
        }
        kept
    }

    /// The cheapest assignment of allowed choices at a price per row; of equals the first. `None` when some group
    /// has no alternative left.
    pub(super) fn cheapest(&self, prices: &[f64], allowed: &[bool]) -> Option<Assignment> {
        let mut assignment = Assignment::with_capacity(self.groups.len());
        for group in 0..self.groups.len() {
            self.cheapest_of(group, prices, allowed, &mut assignment)?;
        }
        Some(assignment)
    }

    fn cheapest_of(
        &self,
        group: usize,
        prices: &[f64],
        allowed: &[bool],
        into: &mut Assignment,
    ) -> Option<()> {
        let start = into.len();
        let (mut best, mut end) = (f64::INFINITY, start);
        for alternative in self.groups[group].clone() {
            let mut price = 0.0;
            for member in self.alternatives[alternative].clone() {
                let (cost, choice) = self.cheapest_choice(member, prices, allowed);
                price += cost;
                into.push(choice);
            }
            if price < best {
                into.drain(start..end);
                (best, end) = (price, into.len());
            }
            into.truncate(end);
        }
        (end > start).then_some(())
    }

    /// The cheapest choice of a member and its price: infinite where none is allowed.
    pub(super) fn cheapest_choice(&self, member: usize, prices: &[f64], allowed: &[bool]) -> (f64, u32) {
        let mut best = (f64::INFINITY, 0);
        for choice in self.members[member].clone().filter(|&c| allowed[c]) {
            let price = self.price(choice, prices);
            if price < best.0 {
                best = (price, choice as u32);
            }
        }
        best
    }

    /// The alternative of a group that a choice of its first member belongs to.
    pub(super) fn alternative_of(&self, group: usize, choice: u32) -> usize {
        let first = |a: &usize| self.members[self.alternatives[*a].start].contains(&(choice as usize));
        self.groups[group].clone().find(first).expect("the choice is one of the group's")
    }

    /// An assignment in the problem's own terms.
    pub(super) fn chosen(&self, assignment: &[u32]) -> Vec<GroupChoice> {
        let mut rest = assignment;
        let of_group = |group: usize| {
            let alternative = self.alternative_of(group, rest[0]);
            let members = self.alternatives[alternative].clone();
            let (own, others) = rest.split_at(members.len());
            rest = others;
            let choices = own.iter().zip(members).map(|(&c, p)| c as usize - self.members[p].start).collect();
            GroupChoice { alternative: alternative - self.groups[group].start, choices }
        };
        (0..self.groups.len()).map(of_group).collect()
    }

    fn spread(&self, row: usize) -> f64 {
        let (mut spread, mut size) = (0.0, 0.0);
        for member in &self.members {
            let costs = || member.clone().map(|c| self.costs(c)[row]);
            let (least, most) =
                (costs().fold(f64::INFINITY, f64::min), costs().fold(f64::NEG_INFINITY, f64::max));
            spread += most - least;
            size += f64::max(most, -least);
        }
        // Differences this small beside the total are rounding, which must stay below what is told apart.
        let scale = f64::max(spread, 1e-4 * size);
        if scale > 0.0 { scale } else { 1.0 }
    }
}
