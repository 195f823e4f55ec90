//! One step of the dual simplex method: how far to move the multipliers, and what enters the basis.
//!
//! The bound is concave along the step. Instead of stopping at the first group that prefers another column, the step
//! moves that group's key over and goes on while the bound still rises (the long-step rule: Maros, *Computational
//! Techniques of the Simplex Method*, 2003, section 10.2.2). This replaces thousands of steps by dozens.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    program::dot,
    simplex::{Basic, Basis, Dual},
};

/// Rates smaller than this share of the terms they are a difference of are rounding.
const NOISE: f64 = 1e-11;

/// What a step changes in the basis.
pub(super) struct Step {
    keys: Vec<(usize, usize)>,
    position: usize,
    entering: Basic,
}

/// A direction in which the bound rises without end.
pub(super) struct Endless {
    /// The direction, at least 0.
    pub(super) ray: Vec<f64>,
    /// The multipliers beyond which no group changes its column any more.
    pub(super) multipliers: Vec<f64>,
    /// The column that each group takes there, where it is not the key.
    pub(super) keys: Vec<(usize, usize)>,
}

/// Where along the step something changes, ordered by distance, then by row or group.
#[derive(Clone, Copy, Debug)]
struct Break {
    distance: f64,
    basic: Basic,
    /// How much slower the bound rises from here on.
    drop: f64,
}

impl Step {
    /// The step that makes the basic variable at `leaving` feasible and takes it out, or the proof that no step does.
    pub(super) fn along(dual: &Dual<'_>, leaving: usize) -> Result<Step, Endless> {
        let direction = Direction::new(dual, leaving);
        let mut heap: BinaryHeap<Reverse<Break>> = direction.slacks().chain(direction.groups()).map(Reverse).collect();
        let (mut keys, mut last) = (vec![], 0.0);
        let mut slope = dual.x[leaving].abs();
        while let Some(Reverse(next)) = heap.pop() {
            slope -= next.drop;
            let Basic::Column { group, column } = next.basic else {
                return Ok(Step { keys, position: leaving, entering: next.basic });
            };
            if slope <= 0.0 || dual.basis.is_split(group) {
                return Ok(Step { keys, position: leaving, entering: next.basic });
            }
            keys.push((group, column));
            last = next.distance;
            heap.extend(direction.after(group, column, next.distance).map(Reverse));
        }
        Err(direction.endless(last, keys))
    }

    /// Makes the change.
    pub(super) fn take(self, basis: &mut Basis) {
        for (group, column) in self.keys {
            basis.keys[group] = column;
        }
        basis.work[self.position] = self.entering;
    }
}

/// How the multipliers move.
struct Direction<'a> {
    dual: &'a Dual<'a>,
    /// Change of λ per unit of distance.
    rate: Vec<f64>,
}

impl<'a> Direction<'a> {
    fn new(dual: &'a Dual<'a>, leaving: usize) -> Direction<'a> {
        let width = dual.program.width();
        // Only a column outside its window leaves from above; everything else is below zero.
        let sign = if dual.x[leaving] < 0.0 { 1.0 } else { -1.0 };
        let rate = dual.inverse[leaving * width..][..width].iter().map(|r| sign * r).collect();
        Direction { dual, rate }
    }

    fn endless(self, last: f64, keys: Vec<(usize, usize)>) -> Endless {
        let beyond = |(l, r): (&f64, &f64)| (l + last * r).max(0.0);
        let multipliers = self.dual.multipliers.iter().zip(&self.rate).map(beyond).collect();
        Endless { ray: self.rate.iter().map(|r| r.max(0.0)).collect(), multipliers, keys }
    }

    /// Where multipliers reach zero.
    fn slacks(&self) -> impl Iterator<Item = Break> + '_ {
        let largest = self.rate.iter().fold(0.0, |most: f64, r| most.max(r.abs()));
        let basic = |k: usize| self.dual.basis.work.contains(&Basic::Slack(k));
        let falling = (0..self.rate.len()).filter(move |&k| !basic(k) && self.rate[k] < -NOISE * largest);
        falling.map(|k| Break {
            distance: self.dual.multipliers[k] / -self.rate[k],
            basic: Basic::Slack(k),
            drop: f64::INFINITY,
        })
    }

    /// Where each group first prefers another column.
    fn groups(&self) -> impl Iterator<Item = Break> + '_ {
        let keys = self.dual.basis.keys.iter().enumerate();
        keys.filter_map(|(group, &key)| self.after(group, key, 0.0))
    }

    /// Where the group, at `from` since `distance`, next prefers another column.
    fn after(&self, group: usize, from: usize, distance: f64) -> Option<Break> {
        let (lo, hi) = self.dual.windows[group];
        let here = self.dual.program.row(from);
        let mut next: Option<Break> = None;
        for column in (lo..hi).filter(|&c| c != from) {
            let there = self.dual.program.row(column);
            let (gain, size) = self.gain(here, there);
            let basic = Basic::Column { group, column };
            if gain <= NOISE * size || self.dual.basis.work.contains(&basic) {
                continue;
            }
            let ahead = (self.dual.values[column] - self.value(from)) / gain;
            let found = Break { distance: ahead.max(distance), basic, drop: gain };
            let nearer = next.is_none_or(|n| {
                found.distance < n.distance || (found.distance == n.distance && found.drop > n.drop)
            });
            if nearer {
                next = Some(found);
            }
        }
        next
    }

    /// How much faster the value of one column falls than that of another, and the size of the terms.
    fn gain(&self, here: &[f64], there: &[f64]) -> (f64, f64) {
        let terms = self.rate.iter().zip(here.iter().zip(there));
        terms.fold((0.0, 0.0), |(gain, size), (r, (h, t))| (gain + r * (h - t), size + (r * (h - t)).abs()))
    }

    /// The value of a column that may stand outside its window.
    fn value(&self, column: usize) -> f64 {
        self.dual.program.cost(column) + dot(&self.dual.multipliers, self.dual.program.row(column))
    }
}

impl Break {
    fn key(&self) -> (f64, usize, usize) {
        match self.basic {
            Basic::Slack(k) => (self.distance, 0, k),
            Basic::Column { column, .. } => (self.distance, 1, column),
        }
    }
}

impl Ord for Break {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (a, b) = (self.key(), other.key());
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2))
    }
}

impl PartialOrd for Break {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Break {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Break {}
