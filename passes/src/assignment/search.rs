//! Branch and bound: where the relaxation mixes choices of a group, divide them; dive, then best bound first.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{
    StopCriteria,
    branch::Shares,
    polish::{polish, rounded},
    program::{Assignment, OBJECTIVE, Program},
    relaxation::{Relaxed, Relaxer},
};

/// Scaled objectives that differ by less are equal: what the relaxation can tell apart.
const SAME: f64 = 1e-10;
/// The first nodes polish what they find; later ones only now and then.
const POLISHED: usize = 1_000;

/// An assignment within the limits, in the problem's units.
pub(super) struct Incumbent {
    pub(super) assignment: Assignment,
    /// What it spends, by row.
    pub(super) totals: Vec<f64>,
}

/// What a search found, in the problem's units.
pub(super) struct Found {
    /// The best that was found.
    pub(super) plan: Option<Incumbent>,
    /// No plan has a lower objective; infinite where none exists.
    pub(super) bound: f64,
    /// How many relaxations were solved.
    pub(super) nodes: usize,
    /// What one unit more of each limit saves of the objective at most, from the first relaxation.
    pub(super) prices: Vec<f64>,
}

/// Finds the assignment of least objective within the limits.
pub(super) fn search(program: &mut Program, stop: StopCriteria) -> Found {
    let rough = Relaxer::new(program).relax(&program.undominated(), f64::INFINITY);
    program.zoom(rough.bound);
    let program = &*program;
    let mut tree = Tree {
        program,
        stop,
        relaxer: Relaxer::new(program),
        allowed: program.undominated(),
        best: None,
        floor: f64::INFINITY,
        nodes: 0,
        open: BinaryHeap::new(),
    };
    let prices = tree.plant();
    tree.grow();
    let open = tree.open.iter().map(|node| node.bound).fold(tree.floor, f64::min);
    let bound = program.objective(open);
    let bound = tree.best.as_ref().map_or(bound, |best| bound.min(best.totals[OBJECTIVE]));
    Found { plan: tree.best, bound, nodes: tree.nodes, prices }
}

struct Tree<'a> {
    program: &'a Program,
    stop: StopCriteria,
    relaxer: Relaxer<'a>,
    /// What can be in a better plan, as far as the root knows.
    allowed: Vec<bool>,
    best: Option<Incumbent>,
    /// The least bound of what was closed without being searched to the end.
    floor: f64,
    nodes: usize,
    open: BinaryHeap<Node>,
}

/// A subtree to search.
struct Node {
    bound: f64,
    serial: usize,
    /// Choices excluded on the way here.
    excluded: Vec<u32>,
    /// Choices that one half excludes, and those that the other half does.
    halves: [Vec<u32>; 2],
}

impl Tree<'_> {
    /// Solves the root; gives the shadow prices.
    fn plant(&mut self) -> Vec<f64> {
        // A limit below the sum of the least costs is refused exactly; the relaxation knows only scaled numbers.
        for limit in 1..self.program.width {
            let mut only = vec![0.0; self.program.width];
            only[limit] = 1.0;
            let least = self.program.cheapest(&only, &self.allowed).unwrap_or_default();
            if self.program.totals(&least)[limit] > self.program.limits[limit - 1] {
                return vec![0.0; self.program.limits.len()];
            }
        }
        let mut allowed = self.allowed.clone();
        let relaxed = self.relaxer.relax(&allowed, f64::INFINITY);
        self.nodes += 1;
        self.look(&relaxed, &allowed);
        self.drop_useless(&relaxed);
        allowed.clone_from(&self.allowed);
        let prices = self.program.prices(&relaxed.weights);
        // Where that has left one assignment, it is this one.
        if let Some(cheapest) = self.program.cheapest(&prices, &allowed) {
            self.offer(&cheapest);
        }
        if let Some(node) = self.node(&relaxed, f64::NEG_INFINITY, vec![], &allowed) {
            self.open.push(node);
        }
        prices[1..].iter().map(|p| p / prices[OBJECTIVE]).collect()
    }

    fn grow(&mut self) {
        let mut dive: Option<Node> = None;
        while let Some(node) = dive.take().or_else(|| self.open.pop()) {
            if node.bound >= self.cutoff() {
                self.floor = self.floor.min(node.bound);
                continue;
            }
            if self.nodes >= self.stop.nodes {
                self.open.push(node);
                return;
            }
            let mut children: Vec<Node> =
                node.halves.iter().filter_map(|half| self.child(&node, half)).collect();
            children.sort_by(|a, b| b.cmp(a));
            let mut children = children.into_iter();
            dive = children.next();
            self.open.extend(children);
        }
    }

    fn child(&mut self, parent: &Node, half: &[u32]) -> Option<Node> {
        let excluded = [parent.excluded.as_slice(), half].concat();
        let mut allowed = self.allowed.clone();
        excluded.iter().for_each(|&c| allowed[c as usize] = false);
        let cutoff = self.cutoff();
        let relaxed = self.relaxer.relax(&allowed, cutoff);
        self.nodes += 1;
        self.look(&relaxed, &allowed);
        self.node(&relaxed, parent.bound, excluded, &allowed)
    }

    /// The node to search on from a relaxation, unless nothing better is there or nothing is left to divide.
    fn node(&mut self, relaxed: &Relaxed, floor: f64, excluded: Vec<u32>, allowed: &[bool]) -> Option<Node> {
        let bound = relaxed.bound.max(floor);
        if bound >= self.cutoff() {
            self.floor = self.floor.min(bound);
            return None;
        }
        let halves =
            Shares::new(self.program, relaxed).halves(&self.program.prices(&relaxed.weights), allowed)?;
        Some(Node { bound, serial: self.nodes, excluded, halves })
    }

    /// Keeps the best plan that the relaxation has come by or comes near to.
    fn look(&mut self, relaxed: &Relaxed, allowed: &[bool]) {
        // Where all is decided the one assignment left is in the mixture, so no plan is ever passed over.
        relaxed.mixture.iter().for_each(|(column, _)| self.offer(&column.assignment));
        if !relaxed.mixture.is_empty() && (self.nodes <= POLISHED || self.nodes.is_multiple_of(POLISHED)) {
            let near = rounded(self.program, relaxed);
            let prices = self.program.prices(&relaxed.weights);
            if let Some(plan) = polish(self.program, &near, &prices, allowed) {
                self.offer(&plan);
            }
        }
    }

    fn offer(&mut self, assignment: &[u32]) {
        let totals = self.program.totals(assignment);
        if self.program.fits(&totals)
            && self.best.as_ref().is_none_or(|best| totals[OBJECTIVE] < best.totals[OBJECTIVE])
        {
            self.best = Some(Incumbent { assignment: assignment.to_vec(), totals });
        }
    }

    /// Bars the choices that alone raise the root's bound to the cutoff.
    fn drop_useless(&mut self, relaxed: &Relaxed) {
        let (program, cutoff) = (self.program, self.cutoff());
        let prices = program.prices(&relaxed.weights);
        let member_least = |member: usize| program.cheapest_choice(member, &prices, &self.allowed).0;
        let least: Vec<f64> = (0..program.members.len()).map(member_least).collect();
        for alternatives in &program.groups {
            let of = |a: usize| program.alternatives[a].clone().map(|p| least[p]).sum::<f64>();
            let group_least = alternatives.clone().map(of).fold(f64::INFINITY, f64::min);
            for alternative in alternatives.clone() {
                for member in program.alternatives[alternative].clone() {
                    let rest = of(alternative) - least[member] - group_least;
                    for choice in program.members[member].clone() {
                        let bound = relaxed.bound + rest + program.price(choice, &prices);
                        if self.allowed[choice] && bound >= cutoff {
                            self.floor = self.floor.min(bound);
                            self.allowed[choice] = false;
                        }
                    }
                }
            }
        }
    }

    /// A bound from here on excludes plans that are better by more than the gap asked for.
    fn cutoff(&self) -> f64 {
        let Some(Incumbent { totals, .. }) = &self.best else { return f64::INFINITY };
        let allowed = self.program.scaled_amount(self.stop.gap * totals[OBJECTIVE].abs());
        self.program.scaled(totals)[OBJECTIVE] - allowed.max(SAME)
    }
}

impl Ord for Node {
    /// The greatest is the next: the lowest bound, and of equals the oldest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.bound.total_cmp(&self.bound).then(other.serial.cmp(&self.serial))
    }
}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Node {}
