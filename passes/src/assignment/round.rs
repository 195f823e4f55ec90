//! From a mixture to a plan: repair what the rounding broke, then take every single change that helps.

use super::program::{Program, dot};

/// Changes of one group that may repair a plan before it is given up. A mixture splits few groups, so few suffice.
const REPAIRS: usize = 32;

/// Changes of one group that may improve a plan before it is left as it is.
const IMPROVEMENTS: usize = 200;

/// One column per group, with the rows' sums.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The chosen column of each group.
    pub(super) columns: Vec<usize>,
    /// The scaled cost.
    pub(super) cost: f64,
    left: Vec<f64>,
}

impl Plan {
    /// The plan of these columns.
    pub(super) fn new(program: &Program, columns: Vec<usize>) -> Plan {
        let mut left = program.room.clone();
        for &column in &columns {
            left.iter_mut().zip(program.row(column)).for_each(|(l, a)| *l -= a);
        }
        let cost = columns.iter().map(|&c| program.cost(c)).sum();
        Plan { columns, cost, left }
    }

    /// Whether all rows hold.
    pub(super) fn is_feasible(&self, program: &Program) -> bool {
        (0..self.left.len()).all(|k| self.left[k] >= -program.slop[k])
    }

    /// A feasible plan near this one, or `None`. `multipliers` say what room is worth.
    pub(super) fn repaired(mut self, program: &Program, multipliers: &[f64]) -> Option<Plan> {
        for _ in 0..REPAIRS {
            if self.is_feasible(program) {
                return Some(self.improved(program));
            }
            let value = |column: usize| program.cost(column) + dot(multipliers, program.row(column));
            let price = |gain: f64, old: usize, new: usize| {
                let extra = value(new) - value(old);
                // A change that repairs at no cost is best by how much it repairs.
                if extra > 0.0 { extra / gain } else { extra - gain }
            };
            self.repair(program, price)?;
        }
        None
    }

    /// A feasible plan at whatever cost, or `None`.
    pub(super) fn forced(mut self, program: &Program) -> Option<Plan> {
        while !self.is_feasible(program) {
            self.repair(program, |gain, _, _| -gain)?;
        }
        Some(self.improved(program))
    }

    /// Makes the change with the least price of those that bring the rows nearer to holding.
    fn repair(&mut self, program: &Program, price: impl Fn(f64, usize, usize) -> f64) -> Option<()> {
        let excess = self.excess(program, None);
        let score = |group: usize, column: usize| {
            let gain = excess - self.excess(program, Some((group, column)));
            (gain > 1e-12).then(|| price(gain, self.columns[group], column))
        };
        let (group, column) = least(program, score)?;
        self.change(program, group, column);
        Some(())
    }

    /// Takes the change of one group that saves most, while there is one.
    fn improved(mut self, program: &Program) -> Plan {
        for _ in 0..IMPROVEMENTS {
            let saving = |group: usize, column: usize| {
                let extra = program.cost(column) - program.cost(self.columns[group]);
                (extra < 0.0 && self.fits(program, group, column)).then_some(extra)
            };
            let Some((group, column)) = least(program, saving) else { break };
            self.change(program, group, column);
        }
        // Summed afresh, so that the result does not carry the rounding of the way here.
        Plan::new(program, self.columns)
    }

    fn change(&mut self, program: &Program, group: usize, column: usize) {
        let old = std::mem::replace(&mut self.columns[group], column);
        let rows = program.row(old).iter().zip(program.row(column));
        self.left.iter_mut().zip(rows).for_each(|(left, (a, b))| *left += a - b);
        self.cost += program.cost(column) - program.cost(old);
    }

    fn fits(&self, program: &Program, group: usize, column: usize) -> bool {
        let (old, new) = (program.row(self.columns[group]), program.row(column));
        (0..self.left.len()).all(|k| self.left[k] + old[k] - new[k] >= -program.slop[k])
    }

    /// By how much the rows are passed in all, after a change if one is given.
    fn excess(&self, program: &Program, change: Option<(usize, usize)>) -> f64 {
        let after = |k: usize| match change {
            None => self.left[k],
            Some((group, column)) => self.left[k] + program.row(self.columns[group])[k] - program.row(column)[k],
        };
        (0..self.left.len()).map(|k| (-after(k)).max(0.0)).sum()
    }
}

/// The change with the least score; the first of equals.
fn least(program: &Program, score: impl Fn(usize, usize) -> Option<f64>) -> Option<(usize, usize)> {
    let mut best: Option<(f64, usize, usize)> = None;
    for group in 0..program.groups() {
        for column in program.columns(group) {
            if let Some(score) = score(group, column)
                && best.is_none_or(|b| score < b.0)
            {
                best = Some((score, group, column));
            }
        }
    }
    best.map(|(_, group, column)| (group, column))
}
