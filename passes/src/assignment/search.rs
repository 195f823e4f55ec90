//! Branch and bound: halve the window of a group whose relaxation mixes columns, best bound first.
//!
//! Columns of a group form a special ordered set (Beale and Tomlin, 1970), so a branch splits a window in two instead
//! of fixing one column. Columns that no better plan can contain are dropped at the root by their reduced costs.

use std::{cmp::Reverse, collections::BinaryHeap, rc::Rc};

use super::{
    Effort,
    program::Program,
    round::Plan,
    simplex::{Basis, Relaxation, Status, Windows, relax},
};

/// What a search found, in the objective's own unit.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The best plan: the candidate of each group, and its objective.
    pub(super) plan: Option<(Vec<usize>, f64)>,
    /// No plan is below this; infinite where none exists.
    pub(super) bound: f64,
    /// Nodes of the tree that were relaxed.
    pub(super) nodes: usize,
    /// What one unit more of each limit saves, from the root relaxation.
    pub(super) prices: Vec<f64>,
}

/// Finds the cheapest plan of a program.
pub(super) fn search(program: &Program, effort: Effort) -> Found {
    let mut tree = Tree { effort, best: None, floor: f64::INFINITY, nodes: 0, heap: BinaryHeap::new() };
    let (program, prices) = tree.root(program);
    tree.grow(&program);
    let open = tree.heap.peek().map_or(f64::INFINITY, |Reverse(node)| node.bound);
    let cost = tree.best.as_ref().map_or(f64::INFINITY, |plan| plan.1);
    let bound = tree.floor.min(open).min(cost);
    Found {
        plan: tree.best.map(|(candidates, cost)| (candidates, program.objective(cost))),
        bound: program.objective(bound),
        nodes: tree.nodes,
        prices,
    }
}

struct Tree {
    effort: Effort,
    /// Candidate of each group, and scaled cost.
    best: Option<(Vec<usize>, f64)>,
    /// The least bound of what was closed without being searched to the end.
    floor: f64,
    nodes: usize,
    heap: BinaryHeap<Reverse<Node>>,
}

/// A part of the tree that is still open.
struct Node {
    bound: f64,
    serial: usize,
    /// Windows that differ from the root's: group, lo, hi. The last one for a group counts.
    windows: Vec<(usize, usize, usize)>,
    basis: Rc<Basis>,
    /// The group to split, and where.
    split: (usize, usize),
}

impl Tree {
    /// Solves the root, and gives the program without the columns that cannot matter, and the shadow prices.
    fn root(&mut self, program: &Program) -> (Program, Vec<f64>) {
        let mut program = program.clone();
        let mut prices = None;
        loop {
            let windows = full(&program);
            let relaxed = relax(&program, &windows, Basis::slack(&program, &windows), f64::INFINITY);
            self.nodes += 1;
            prices.get_or_insert_with(|| {
                let scale = |(l, s): (&f64, &f64)| l * program.cost_scale / s;
                relaxed.multipliers.iter().zip(&program.row_scale).map(scale).collect()
            });
            if relaxed.status == Status::Infeasible {
                return (program, prices.unwrap_or_default());
            }
            self.round(&program, &relaxed);
            let smaller = self.without_useless(&program, &relaxed);
            if smaller.len() * 4 >= program.len() * 3 {
                self.open(&program, &windows, vec![], relaxed);
                return (program, prices.unwrap_or_default());
            }
            program = smaller;
        }
    }

    /// Drops the columns whose reduced cost alone puts the bound at the cutoff.
    fn without_useless(&mut self, program: &Program, relaxed: &Relaxation) -> Program {
        let cutoff = self.cutoff(program);
        let value = |c: usize| program.cost(c) + super::program::dot(&relaxed.multipliers, program.row(c));
        let mut keep = vec![true; program.len()];
        for group in 0..program.groups() {
            let least = program.columns(group).map(value).fold(f64::INFINITY, f64::min);
            // A column of least value never goes, so each group keeps one.
            for column in program.columns(group).filter(|&c| value(c) > least) {
                let bound = relaxed.bound + value(column) - least;
                if bound >= cutoff {
                    keep[column] = false;
                    self.floor = self.floor.min(bound);
                }
            }
        }
        program.keeping(|c| keep[c])
    }

    /// Splits open nodes until none can hold a better plan, or the nodes run out.
    fn grow(&mut self, program: &Program) {
        let mut windows = full(program);
        while let Some(Reverse(node)) = self.heap.pop() {
            if node.bound >= self.cutoff(program) {
                self.floor = self.floor.min(node.bound);
                continue;
            }
            if self.nodes >= self.effort.nodes {
                self.floor = self.floor.min(node.bound);
                return;
            }
            let (group, at) = node.split;
            node.windows.iter().for_each(|&(g, lo, hi)| windows[g] = (lo, hi));
            let (lo, hi) = windows[group];
            for half in [(lo, at), (at, hi)] {
                windows[group] = half;
                let relaxed = relax(program, &windows, (*node.basis).clone(), self.cutoff(program));
                self.nodes += 1;
                let mut path = node.windows.clone();
                path.push((group, half.0, half.1));
                self.close_or_open(program, &windows, path, relaxed);
            }
            node.windows.iter().map(|w| w.0).chain([group]).for_each(|g| {
                windows[g] = (program.columns(g).start, program.columns(g).end);
            });
        }
    }

    fn close_or_open(
        &mut self,
        program: &Program,
        windows: &Windows,
        path: Vec<(usize, usize, usize)>,
        relaxed: Relaxation,
    ) {
        match relaxed.status {
            Status::Infeasible => {}
            Status::Cut => self.floor = self.floor.min(relaxed.bound),
            Status::Optimal | Status::Stalled => {
                self.round(program, &relaxed);
                self.open(program, windows, path, relaxed);
            }
        }
    }

    /// Keeps the node for later, unless there is nothing to split: then its one plan has been seen.
    fn open(&mut self, program: &Program, windows: &Windows, path: Vec<(usize, usize, usize)>, relaxed: Relaxation) {
        if relaxed.bound >= self.cutoff(program) {
            self.floor = self.floor.min(relaxed.bound);
        } else if let Some(split) = split(&relaxed, windows) {
            let (bound, basis) = (relaxed.bound, Rc::new(relaxed.basis));
            self.heap.push(Reverse(Node { bound, serial: self.nodes, windows: path, basis, split }));
        }
    }

    /// Rounds a mixture to a plan and keeps it if it is the best yet.
    fn round(&mut self, program: &Program, relaxed: &Relaxation) {
        let mut columns = relaxed.basis.keys.clone();
        for (group, shares) in &relaxed.shares {
            let largest = shares.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
            columns[*group] = largest.map_or(columns[*group], |s| s.0);
        }
        let rounded = Plan::new(program, columns);
        let plan = rounded.clone().repaired(program, &relaxed.multipliers);
        // While there is none, any plan will do: it lets the bound close branches.
        let plan = plan.or_else(|| if self.best.is_none() { rounded.forced(program) } else { None });
        if let Some(plan) = plan
            && self.best.as_ref().is_none_or(|best| plan.cost < best.1)
        {
            self.best = Some((plan.columns.iter().map(|&c| program.candidate(c)).collect(), plan.cost));
        }
    }

    /// The bound from which on a node cannot hold a plan that is better by more than the gap asked for.
    fn cutoff(&self, program: &Program) -> f64 {
        let Some((_, cost)) = &self.best else { return f64::INFINITY };
        let allowed = self.effort.gap.max(1e-9) * program.objective(*cost).abs() / program.cost_scale;
        cost - allowed - 1e-15
    }
}

fn full(program: &Program) -> Windows {
    (0..program.groups()).map(|g| (program.columns(g).start, program.columns(g).end)).collect()
}

/// The most evenly mixed group and the column to split its window before; else the widest window, in the middle.
fn split(relaxed: &Relaxation, windows: &Windows) -> Option<(usize, usize)> {
    let mut best: Option<(f64, usize, usize)> = None;
    for (group, shares) in &relaxed.shares {
        let mut below = 0.0;
        for pair in shares.windows(2) {
            below += pair[0].1;
            let evenness = f64::min(below, 1.0 - below);
            if evenness > 1e-9 && best.is_none_or(|b| evenness > b.0) {
                best = Some((evenness, *group, pair[1].0));
            }
        }
    }
    let inside = |&(_, g, at): &(f64, usize, usize)| windows[g].0 < at && at < windows[g].1;
    best.filter(inside).map(|(_, group, at)| (group, at)).or_else(|| {
        let widest = (0..windows.len()).max_by_key(|&g| (windows[g].1 - windows[g].0, Reverse(g)))?;
        let (lo, hi) = windows[widest];
        (hi - lo > 1).then_some((widest, usize::midpoint(lo, hi)))
    })
}

impl Ord for Node {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bound.total_cmp(&other.bound).then(self.serial.cmp(&other.serial))
    }
}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Node {}
