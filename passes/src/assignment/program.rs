//! A problem and a request as numbers: one column per candidate, one row per limit, scaled for arithmetic.

use std::ops::Range;

use super::{Candidate, Group, Limit, Problem, Quantity, dominance::undominated, problem::Share};

/// Relative rounding of a sum of a thousand terms. Far below one byte in 1e11.
const ROUNDING: f64 = 1e-13;

/// Minimise the cost of one column per group, with every row's sum at most its room.
///
/// Each row and the cost are shifted so that the least value in every group is 0, and divided by a power of two
/// so that the widest group spans at most 1. Both leave whole byte counts exact, and bring losses of 1e-8 and sizes
/// of 1e11 to one scale. Columns of a group stand in order of cost.
#[derive(Clone, Debug)]
pub(super) struct Program {
    width: usize,
    start: Vec<usize>,
    candidate: Vec<usize>,
    cost: Vec<f64>,
    rows: Vec<f64>,
    /// Scaled limits, one per row.
    pub(super) room: Vec<f64>,
    /// The objective in its own unit is `cost_base + cost_scale · cost`.
    pub(super) cost_scale: f64,
    cost_base: f64,
    /// The unit of each row over the scaled unit.
    pub(super) row_scale: Vec<f64>,
    /// How far the sum of each row may pass its room and still count as within: the rounding of the sum itself.
    pub(super) slop: Vec<f64>,
}

impl Program {
    /// The program that minimises the weighted sum of `objective` under `limits`.
    pub(super) fn new(problem: &Problem, objective: &[(Quantity, f64)], limits: &[Limit]) -> Program {
        let terms: Vec<(Share, f64)> = objective.iter().map(|&(q, w)| (problem.share(q), w)).collect();
        let shares: Vec<Share> = limits.iter().map(|l| problem.share(l.quantity)).collect();
        let width = limits.len();
        let mut program = Program {
            width,
            start: vec![0],
            candidate: vec![],
            cost: vec![],
            rows: vec![],
            room: limits.iter().map(|l| l.at_most).collect(),
            cost_scale: 1.0,
            cost_base: 0.0,
            row_scale: vec![1.0; width],
            slop: limits.iter().map(|l| ROUNDING * l.at_most.abs()).collect(),
        };
        for group in &problem.groups {
            let point = |c: &Candidate| {
                let cost: f64 = terms.iter().map(|(share, w)| w * share.of(group, c)).sum();
                [cost].into_iter().chain(shares.iter().map(|s| s.of(group, c))).collect()
            };
            program.push_group(group, problem, point);
        }
        program.scale();
        program
    }

    /// Adds the candidates that are not barred and not beaten in the cost and all rows; each is a point (cost, rows).
    fn push_group(&mut self, group: &Group, problem: &Problem, point: impl Fn(&Candidate) -> Vec<f64>) {
        let open: Vec<usize> =
            (0..group.candidates.len()).filter(|&c| !group.bars(&group.candidates[c], &problem.bars)).collect();
        let points: Vec<Vec<f64>> = open.iter().map(|&c| point(&group.candidates[c])).collect();
        let mut kept = undominated(&points);
        kept.sort_by(|&a, &b| points[a][0].total_cmp(&points[b][0]));
        let least = |i: usize| kept.iter().map(|&p| points[p][i]).fold(f64::INFINITY, f64::min);
        let base: Vec<f64> = (0..=self.width).map(least).collect();
        for &p in &kept {
            self.candidate.push(open[p]);
            self.cost.push(points[p][0] - base[0]);
            self.rows.extend(points[p][1..].iter().zip(&base[1..]).map(|(x, least)| x - least));
        }
        self.cost_base += base[0];
        self.room.iter_mut().zip(&base[1..]).for_each(|(room, least)| *room -= least);
        self.slop.iter_mut().zip(&base[1..]).for_each(|(slop, least)| *slop += ROUNDING * least.abs());
        self.start.push(self.candidate.len());
    }

    fn scale(&mut self) {
        self.cost_scale = power_above(self.cost.iter().copied());
        self.cost.iter_mut().for_each(|c| *c /= self.cost_scale);
        for k in 0..self.width {
            let scale = power_above(self.rows.iter().skip(k).step_by(self.width).copied());
            self.rows.iter_mut().skip(k).step_by(self.width).for_each(|x| *x /= scale);
            self.room[k] /= scale;
            self.slop[k] = self.slop[k] / scale + ROUNDING;
            self.row_scale[k] = scale;
        }
    }

    /// The same program with only the columns that pass; every group must keep one.
    pub(super) fn keeping(&self, keep: impl Fn(usize) -> bool) -> Program {
        let mut smaller = Program {
            start: vec![0],
            candidate: vec![],
            cost: vec![],
            rows: vec![],
            room: self.room.clone(),
            row_scale: self.row_scale.clone(),
            slop: self.slop.clone(),
            ..*self
        };
        for group in 0..self.groups() {
            for column in self.columns(group).filter(|&c| keep(c)) {
                smaller.candidate.push(self.candidate[column]);
                smaller.cost.push(self.cost[column]);
                smaller.rows.extend(self.row(column));
            }
            smaller.start.push(smaller.candidate.len());
        }
        smaller
    }

    /// How many rows there are.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// How many groups there are.
    pub(super) fn groups(&self) -> usize {
        self.start.len() - 1
    }

    /// How many columns there are.
    pub(super) fn len(&self) -> usize {
        self.cost.len()
    }

    /// The columns of a group.
    pub(super) fn columns(&self, group: usize) -> Range<usize> {
        self.start[group]..self.start[group + 1]
    }

    /// The index of a column's candidate in its problem group.
    pub(super) fn candidate(&self, column: usize) -> usize {
        self.candidate[column]
    }

    /// The scaled cost of a column.
    pub(super) fn cost(&self, column: usize) -> f64 {
        self.cost[column]
    }

    /// What a column takes of each row.
    pub(super) fn row(&self, column: usize) -> &[f64] {
        &self.rows[column * self.width..][..self.width]
    }

    /// A scaled cost in the objective's own unit.
    pub(super) fn objective(&self, cost: f64) -> f64 {
        self.cost_base + self.cost_scale * cost
    }
}

/// The least power of two that is at least every value, or 1.
fn power_above(values: impl Iterator<Item = f64>) -> f64 {
    let most = values.fold(0.0, f64::max);
    if most > 0.0 { 2f64.powi(most.log2().ceil() as i32) } else { 1.0 }
}

/// `Σ aᵢ·bᵢ`
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
