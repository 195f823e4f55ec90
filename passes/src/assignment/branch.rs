//! Where a mixture is undecided, and how to divide the choices there.

use super::{
    program::{OBJECTIVE, Program},
    relaxation::Relaxed,
};

/// A share this near to 0 or 1 is decided.
const DECIDED: f64 = 1e-7;

/// How much of each choice is in a mixture.
pub(super) struct Shares<'a> {
    program: &'a Program,
    of_choice: Vec<f64>,
}

/// Two sets of choices that a branch excludes, one in each half.
#[derive(Clone)]
struct Cut {
    /// The smaller share of the two.
    evenness: f64,
    sides: [Vec<u32>; 2],
}

impl Shares<'_> {
    pub(super) fn new<'a>(program: &'a Program, relaxed: &Relaxed) -> Shares<'a> {
        let mut of_choice = vec![0.0; program.choices()];
        for (column, share) in &relaxed.mixture {
            column.assignment.iter().for_each(|&c| of_choice[c as usize] += share);
        }
        Shares { program, of_choice }
    }

    /// Two sets of choices of which every assignment avoids at least one: the cut that divides the most evenly mixed
    /// alternatives or, where those are decided, the most evenly mixed member. `None` when no two choices are left
    /// anywhere.
    pub(super) fn halves(&self, prices: &[f64], allowed: &[bool]) -> Option<[Vec<u32>; 2]> {
        let groups = 0..self.program.groups.len();
        let undecided = |cut: &Cut| cut.evenness > DECIDED;
        let evenest = |cuts: &mut dyn Iterator<Item = Cut>| {
            cuts.reduce(|a, b| if b.evenness > a.evenness { b } else { a })
        };
        let alternatives = evenest(&mut groups.filter_map(|g| self.between_alternatives(g, allowed)));
        if alternatives.as_ref().is_some_and(undecided) {
            return alternatives.map(|cut| cut.sides);
        }
        let members = 0..self.program.members.len();
        let members = evenest(&mut members.filter_map(|p| self.within_member(p, prices, allowed)));
        // Rounding can leave a mixture without anything mixed; then any cut goes on.
        members.clone().filter(undecided).or(alternatives).or(members).map(|cut| cut.sides)
    }

    /// One alternative of a group on one side, the others on the other. To exclude the choices of an alternative's
    /// first member excludes the alternative.
    fn between_alternatives(&self, group: usize, allowed: &[bool]) -> Option<Cut> {
        let first_member = |a: usize| {
            let choices = self.program.members[self.program.alternatives[a].start].clone();
            choices.filter(|&c| allowed[c]).map(|c| c as u32)
        };
        let open = |a: &usize| {
            let mut members = self.program.alternatives[*a].clone();
            members.all(|p| self.program.members[p].clone().any(|c| allowed[c]))
        };
        let left: Vec<usize> = self.program.groups[group].clone().filter(open).collect();
        let (&head, rest) = left.split_first().filter(|(_, rest)| !rest.is_empty())?;
        let evenness = |a: usize| self.of_alternative(a).min(1.0 - self.of_alternative(a));
        let one = rest.iter().copied().fold(head, |a, b| if evenness(b) > evenness(a) { b } else { a });
        let others = left.iter().filter(|&&a| a != one).flat_map(|&a| first_member(a)).collect();
        Some(Cut { evenness: evenness(one), sides: [first_member(one).collect(), others] })
    }

    /// The choices of a member from the one that spends least on the limits to the one that spends most, cut where their
    /// shares are most even: a special ordered set (Beale and Tomlin, 1970).
    fn within_member(&self, member: usize, prices: &[f64], allowed: &[bool]) -> Option<Cut> {
        let share = |c: usize| self.of_choice[c];
        let choices = self.program.members[member].clone();
        let all: f64 = choices.clone().map(share).sum();
        let mut left: Vec<usize> = choices.filter(|&c| allowed[c]).collect();
        if left.len() < 2 {
            return None;
        }
        let spends =
            |c: usize| self.program.price(c, prices) - self.program.costs(c)[OBJECTIVE] * prices[OBJECTIVE];
        left.sort_by(|&a, &b| spends(a).total_cmp(&spends(b)));
        let mut below = 0.0;
        let mut best = (f64::NEG_INFINITY, 0);
        for (at, &choice) in left[..left.len() - 1].iter().enumerate() {
            below += share(choice);
            let evenness = f64::min(below, all - below);
            if evenness > best.0 {
                best = (evenness, at + 1);
            }
        }
        let (low, high) = left.split_at(best.1);
        let flat = |side: &[usize]| side.iter().map(|&c| c as u32).collect();
        Some(Cut { evenness: best.0, sides: [flat(low), flat(high)] })
    }

    fn of_alternative(&self, alternative: usize) -> f64 {
        self.program.members[self.program.alternatives[alternative].start]
            .clone()
            .map(|c| self.of_choice[c])
            .sum()
    }
}
