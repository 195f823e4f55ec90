//! The linear relaxation: every group may take a mixture of its columns.
//!
//! A basis of this program has one *key* column per group and, for each of the few rows, one more basic column or
//! slack. The group equations can be eliminated through the keys, which leaves a *working basis* as small as the number
//! of rows (generalized upper bounding: Dantzig and Van Slyke, 1967). The dual simplex method fits
//! branching: shrinking a group's window leaves the multipliers usable.
//!
//! A bound never rests on the basis being right. For any multipliers λ ≥ 0, `Σ_g min_j (cost_j + λ·row_j) − λ·room` is below
//! every feasible cost (Lagrangian relaxation: Geoffrion, 1974), and this sum is what is reported.

use super::{
    inverse::inverse,
    program::{Program, dot},
    ratio::Step,
};

/// Shares and slacks nearer to feasible than this count as feasible. It decides where to branch, never a bound.
const TOLERANCE: f64 = 1e-9;

/// Steps per relaxation before it is given up, its best bound kept. Usually it takes a few dozen.
const STEPS: usize = 2_000;

/// The columns of each group that a node of the search still allows, `lo..hi`.
pub(super) type Windows = Vec<(usize, usize)>;

/// A basic column besides the keys, or the slack of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basic {
    Slack(usize),
    Column { group: usize, column: usize },
}

/// A dual feasible basis.
#[derive(Clone, Debug)]
pub(super) struct Basis {
    /// The key column of each group.
    pub(super) keys: Vec<usize>,
    /// One per row.
    pub(super) work: Vec<Basic>,
}

impl Basis {
    /// Every group at its cheapest column, all rows slack: optimal if there were no rows.
    pub(super) fn slack(program: &Program, windows: &Windows) -> Basis {
        Basis { keys: windows.iter().map(|w| w.0).collect(), work: (0..program.width()).map(Basic::Slack).collect() }
    }

    /// Whether the group has a basic column besides its key.
    pub(super) fn is_split(&self, group: usize) -> bool {
        self.work.iter().any(|b| matches!(b, Basic::Column { group: g, .. } if *g == group))
    }
}

/// How a relaxation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Optimal,
    /// No mixture satisfies the rows.
    Infeasible,
    /// The bound has reached the cutoff.
    Cut,
    /// Given up; the bound is valid all the same.
    Stalled,
}

/// A solved relaxation.
#[derive(Clone, Debug)]
pub(super) struct Relaxation {
    pub(super) status: Status,
    /// No choice of columns within the windows costs less.
    pub(super) bound: f64,
    /// λ, one per row: what a unit of room is worth.
    pub(super) multipliers: Vec<f64>,
    pub(super) basis: Basis,
    /// Groups that take more than one column, with each column's share; the others take their key.
    pub(super) shares: Vec<(usize, Vec<(usize, f64)>)>,
}

/// Solves the relaxation within the windows, starting at `basis`; stops when the bound reaches `cutoff`.
pub(super) fn relax(program: &Program, windows: &Windows, basis: Basis, cutoff: f64) -> Relaxation {
    let mut dual = Dual {
        program,
        windows,
        basis,
        inverse: vec![],
        multipliers: vec![],
        values: vec![0.0; program.len()],
        x: vec![],
        best: (f64::NEG_INFINITY, vec![0.0; program.width()]),
    };
    let status = dual.run(cutoff);
    let shares = dual.shares();
    let (bound, multipliers) = dual.best;
    Relaxation { status, bound, multipliers, basis: dual.basis, shares }
}

/// The dual simplex method in motion.
pub(super) struct Dual<'a> {
    pub(super) program: &'a Program,
    pub(super) windows: &'a Windows,
    pub(super) basis: Basis,
    /// Inverse of the working basis, by rows.
    pub(super) inverse: Vec<f64>,
    pub(super) multipliers: Vec<f64>,
    /// `cost + λ·row` of each column within the windows.
    pub(super) values: Vec<f64>,
    /// Values of the working basis' columns and slacks.
    pub(super) x: Vec<f64>,
    best: (f64, Vec<f64>),
}

impl Dual<'_> {
    fn run(&mut self, cutoff: f64) -> Status {
        for _ in 0..STEPS {
            if !self.refresh() {
                return Status::Stalled;
            }
            if self.best.0 >= cutoff {
                return Status::Cut;
            }
            let Some(leaving) = self.leaving() else { return Status::Optimal };
            match Step::along(self, leaving) {
                Ok(step) => step.take(&mut self.basis),
                Err(endless) if self.excludes_all(&endless.ray) => return Status::Infeasible,
                Err(endless) => {
                    // The rows hold by no more than rounding. There is nothing left to move, and the bound is this.
                    endless.keys.into_iter().for_each(|(group, column)| self.basis.keys[group] = column);
                    self.multipliers = endless.multipliers;
                    self.price();
                    return Status::Stalled;
                }
            }
        }
        Status::Stalled
    }

    /// Computes everything that follows from the basis.
    fn refresh(&mut self) -> bool {
        let width = self.program.width();
        let Some(inverse) = inverse(self.working_matrix(), width) else { return false };
        self.inverse = inverse;
        let costs: Vec<f64> = self.basis.work.iter().map(|b| self.cost_over_key(b)).collect();
        let multiplier = |k: usize| -(0..width).map(|i| costs[i] * self.inverse[i * width + k]).sum::<f64>();
        // The method keeps λ ≥ 0; rounding may not.
        self.multipliers = (0..width).map(|k| multiplier(k).max(0.0)).collect();
        self.price();
        let mut room = self.program.room.clone();
        for &key in &self.basis.keys {
            room.iter_mut().zip(self.program.row(key)).for_each(|(r, a)| *r -= a);
        }
        self.x = (0..width).map(|i| dot(&self.inverse[i * width..][..width], &room)).collect();
        true
    }

    /// Whether these multipliers prove that no mixture fits: even the columns that take least take more than there is
    /// (Farkas' lemma). Rounding cannot make an infeasible program of a feasible one, because this is summed afresh.
    fn excludes_all(&self, ray: &[f64]) -> bool {
        let taken = |column| dot(ray, self.program.row(column));
        let least = |&(lo, hi): &(usize, usize)| (lo..hi).map(taken).fold(f64::INFINITY, f64::min);
        let needed: f64 = self.windows.iter().map(least).sum();
        let slop: f64 = ray.iter().enumerate().map(|(k, r)| r * self.program.slop[k]).sum();
        needed - dot(ray, &self.program.room) > slop
    }

    /// The columns of the working basis, each over its group's key, as a matrix by rows.
    fn working_matrix(&self) -> Vec<f64> {
        let width = self.program.width();
        let mut matrix = vec![0.0; width * width];
        for (i, basic) in self.basis.work.iter().enumerate() {
            match *basic {
                Basic::Slack(k) => matrix[k * width + i] = 1.0,
                Basic::Column { group, column } => {
                    let (a, key) = (self.program.row(column), self.program.row(self.basis.keys[group]));
                    (0..width).for_each(|k| matrix[k * width + i] = a[k] - key[k]);
                }
            }
        }
        matrix
    }

    fn cost_over_key(&self, basic: &Basic) -> f64 {
        match *basic {
            Basic::Slack(_) => 0.0,
            Basic::Column { group, column } => {
                self.program.cost(column) - self.program.cost(self.basis.keys[group])
            }
        }
    }

    /// Prices all columns, moves keys into their windows, and notes the bound.
    fn price(&mut self) {
        let mut bound = -dot(&self.multipliers, &self.program.room);
        for (group, &(lo, hi)) in self.windows.iter().enumerate() {
            let mut least = lo;
            for column in lo..hi {
                self.values[column] = self.program.cost(column) + dot(&self.multipliers, self.program.row(column));
                if self.values[column] < self.values[least] {
                    least = column;
                }
            }
            bound += self.values[least];
            if !(lo..hi).contains(&self.basis.keys[group]) && !self.basis.is_split(group) {
                self.basis.keys[group] = least;
            }
        }
        if bound > self.best.0 {
            self.best = (bound, self.multipliers.clone());
        }
    }

    /// What the key of a group takes: what the group's other basic columns leave.
    fn key_share(&self, group: usize) -> f64 {
        let others = self.basis.work.iter().zip(&self.x);
        let of_group = others.filter(|(b, _)| matches!(b, Basic::Column { group: g, .. } if *g == group));
        1.0 - of_group.map(|(_, x)| x).sum::<f64>()
    }

    /// The position in the working basis that is furthest from feasible. A key that has to leave changes places first.
    fn leaving(&mut self) -> Option<usize> {
        let mut worst = (TOLERANCE, None);
        for (i, basic) in self.basis.work.iter().enumerate() {
            let (own, key) = match *basic {
                Basic::Slack(_) => (-self.x[i], 0.0),
                Basic::Column { group, column } => (
                    self.violation(group, column, self.x[i]),
                    self.violation(group, self.basis.keys[group], self.key_share(group)),
                ),
            };
            for (amount, of_key) in [(own, false), (key, true)] {
                if amount > worst.0 {
                    worst = (amount, Some((i, of_key)));
                }
            }
        }
        let (position, of_key) = worst.1?;
        if let (true, Basic::Column { group, column }) = (of_key, self.basis.work[position]) {
            let key = std::mem::replace(&mut self.basis.keys[group], column);
            self.basis.work[position] = Basic::Column { group, column: key };
            if !self.refresh() {
                return None;
            }
        }
        Some(position)
    }

    fn violation(&self, group: usize, column: usize, share: f64) -> f64 {
        let (lo, hi) = self.windows[group];
        if (lo..hi).contains(&column) { -share } else { share.abs() }
    }

    fn shares(&self) -> Vec<(usize, Vec<(usize, f64)>)> {
        let mut groups: Vec<usize> =
            self.basis.work.iter().filter_map(|b| if let Basic::Column { group, .. } = b { Some(*group) } else { None }).collect();
        groups.sort_unstable();
        groups.dedup();
        let of_group = |group: usize| {
            let basics = self.basis.work.iter().zip(&self.x);
            let others = basics.filter_map(move |(b, &x)| match *b {
                Basic::Column { group: g, column } if g == group => Some((column, x)),
                _ => None,
            });
            let mut shares: Vec<(usize, f64)> =
                others.chain([(self.basis.keys[group], self.key_share(group))]).collect();
            shares.sort_by_key(|s| s.0);
            (group, shares)
        };
        groups.into_iter().map(of_group).collect()
    }
}
