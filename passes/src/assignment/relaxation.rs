//! The Lagrangian relaxation of the limits, maximised exactly.
//!
//! With a multiplier λᵢ ≥ 0 per limit the groups fall apart: `L(λ) = min over assignments of objective + Σ λᵢ (totalᵢ −
//! limitᵢ)` is found group by group, and no plan is below it (Geoffrion, 1974). The largest L equals the linear
//! relaxation. It is found by the revised simplex method on its dual, the best *mixture* of assignments within the
//! limits (Dantzig and Wolfe, 1960): one row per limit and one for the shares, which sum to 1, with columns made on
//! demand by [`Program::cheapest`]. A bound is always an L(λ) that was evaluated, so that neither rounding in the basis
//! nor an early stop can make it wrong.
//!
//! All numbers are scaled as in [`Program::scaled`].

use std::rc::Rc;

use super::program::{Assignment, OBJECTIVE, Program};

/// A reduced cost from here on does not pay.
const PAYS: f64 = -1e-11;
/// A pivot below this is zero.
const PIVOT: f64 = 1e-9;
/// An excess over a limit below this is rounding; the search checks real totals in the end.
const EXCESS: f64 = 1e-10;
/// Pivots after which a relaxation keeps the bound it has.
const MOST_PIVOTS: usize = 500;
/// Columns that are remembered from one relaxation to the next.
const MOST_COLUMNS: usize = 256;

/// An assignment as the relaxation sees it.
pub(super) struct Column {
    pub(super) assignment: Assignment,
    scaled: Vec<f64>,
}

pub(super) struct Relaxed {
    /// No allowed assignment within the limits has a lower scaled objective; infinite where there is none.
    pub(super) bound: f64,
    /// 1 for the objective, then the multipliers that give this bound.
    pub(super) weights: Vec<f64>,
    /// The mixture, with its shares.
    pub(super) mixture: Vec<(Rc<Column>, f64)>,
}

/// Relaxes one program again and again with different choices allowed.
pub(super) struct Relaxer<'a> {
    program: &'a Program,
    room: Vec<f64>,
    pool: Vec<Rc<Column>>,
}

/// A variable of the basis.
enum Basic {
    Column(Rc<Column>),
    /// What is left of a limit.
    Slack(usize),
    /// What is missing: positive only until the mixture is within the limits.
    Excess(usize),
}

/// What a basis comes to.
struct Vertex {
    inverse: Vec<Vec<f64>>,
    /// The value of each variable of the basis.
    shares: Vec<f64>,
    /// Whether the mixture exceeds a limit. Until it no longer does only the excess costs.
    outside: bool,
    /// The price of each row.
    duals: Vec<f64>,
}

impl<'a> Relaxer<'a> {
    pub(super) fn new(program: &'a Program) -> Relaxer<'a> {
        Relaxer { program, room: program.room(), pool: vec![] }
    }

    /// Relaxes, at most until the bound reaches the cutoff.
    pub(super) fn relax(&mut self, allowed: &[bool], cutoff: f64) -> Relaxed {
        let mut weights = vec![0.0; self.room.len() + 1];
        weights[OBJECTIVE] = 1.0;
        let first = self.column(&weights, allowed);
        let mut best = Relaxed { bound: f64::NEG_INFINITY, weights, mixture: vec![] };
        let Some(first) = first else {
            return Relaxed { bound: f64::INFINITY, ..best };
        };
        let is_allowed = |column: &&Rc<Column>| column.assignment.iter().all(|&c| allowed[c as usize]);
        let mut known: Vec<Rc<Column>> = self.pool.iter().filter(is_allowed).cloned().collect();
        let mut basis = self.start(first);
        for _ in 0..MOST_PIVOTS {
            let Some(vertex) = self.vertex(&basis) else { break };
            best.mixture = mixture(&basis, &vertex.shares);
            let entering = self.known_entering(&known, &vertex).or_else(|| {
                let column = self.bound(&vertex, allowed, &mut best)?;
                known.push(column.clone());
                self.remember(column.clone());
                (vertex.reduced_cost(&column) < PAYS).then_some(Basic::Column(column))
            });
            if best.bound >= cutoff {
                break;
            }
            let Some(entering) = entering else { break };
            let Some(leaving) = self.leaving(&basis, &vertex, &entering) else { break };
            basis[leaving] = entering;
        }
        best
    }

    /// All of one column, with the slack or the excess that this leaves.
    fn start(&self, first: Rc<Column>) -> Vec<Basic> {
        let spent = first.scaled[1..].iter().zip(&self.room).enumerate();
        let row = |(i, (spent, room)): (usize, (&f64, &f64))| {
            if spent <= room { Basic::Slack(i) } else { Basic::Excess(i) }
        };
        let mut basis: Vec<Basic> = spent.map(row).collect();
        basis.push(Basic::Column(first));
        basis
    }

    /// Solves for the basis; `None` where rounding has made it singular.
    fn vertex(&self, basis: &[Basic]) -> Option<Vertex> {
        let limits = self.room.len();
        let columns: Vec<Vec<f64>> = basis.iter().map(|b| self.coefficients(b)).collect();
        let inverse = invert((0..=limits).map(|row| columns.iter().map(|c| c[row]).collect()).collect())?;
        let shares: Vec<f64> = inverse.iter().map(|row| dot(row, &self.room) + row[limits]).collect();
        let outside = basis.iter().zip(&shares).any(|(b, &x)| matches!(b, Basic::Excess(_)) && x > EXCESS);
        let mut duals = vec![0.0; basis.len()];
        for (basic, row) in basis.iter().zip(&inverse) {
            let cost = match basic {
                Basic::Column(column) if !outside => column.scaled[OBJECTIVE],
                Basic::Excess(_) if outside => 1.0,
                _ => continue,
            };
            duals.iter_mut().zip(row).for_each(|(y, b)| *y += cost * b);
        }
        Some(Vertex { inverse, shares, outside, duals })
    }

    /// Evaluates L at a vertex's multipliers: raises the best bound, and gives the column that attains it.
    fn bound(&self, vertex: &Vertex, allowed: &[bool], best: &mut Relaxed) -> Option<Rc<Column>> {
        let multipliers = vertex.duals[..self.room.len()].iter().map(|y| f64::max(0.0, -y));
        let weights: Vec<f64> =
            [if vertex.outside { 0.0 } else { 1.0 }].into_iter().chain(multipliers).collect();
        let column = self.column(&weights, allowed)?;
        let value = dot(&weights, &column.scaled) - dot(&weights[1..], &self.room);
        if vertex.outside && value > EXCESS {
            // Even without an objective nothing makes up for what is missing (Farkas).
            best.bound = f64::INFINITY;
        } else if !vertex.outside && value > best.bound {
            (best.bound, best.weights) = (value, weights);
        }
        Some(column)
    }

    fn column(&self, weights: &[f64], allowed: &[bool]) -> Option<Rc<Column>> {
        let assignment = self.program.cheapest(&self.program.prices(weights), allowed)?;
        let scaled = self.program.scaled(&self.program.totals(&assignment));
        Some(Rc::new(Column { assignment, scaled }))
    }

    fn remember(&mut self, column: Rc<Column>) {
        if self.pool.len() == MOST_COLUMNS {
            self.pool.remove(0);
        }
        self.pool.push(column);
    }

    /// The slack or known column that pays most.
    fn known_entering(&self, known: &[Rc<Column>], vertex: &Vertex) -> Option<Basic> {
        let slacks = (0..self.room.len()).map(|i| (-vertex.duals[i], Basic::Slack(i)));
        let columns = known.iter().map(|c| (vertex.reduced_cost(c), Basic::Column(c.clone())));
        let paying = slacks.chain(columns).filter(|(cost, _)| *cost < PAYS);
        paying.reduce(|a, b| if b.0 < a.0 { b } else { a }).map(|(_, basic)| basic)
    }

    /// The row whose variable reaches zero first; of equals the one with the largest pivot. An excess that is zero goes
    /// before it could grow again.
    fn leaving(&self, basis: &[Basic], vertex: &Vertex, entering: &Basic) -> Option<usize> {
        let coefficients = self.coefficients(entering);
        let mut best: Option<(f64, f64, usize)> = None;
        for (row, (&share, inverse)) in vertex.shares.iter().zip(&vertex.inverse).enumerate() {
            let pivot = dot(inverse, &coefficients);
            let spent = matches!(basis[row], Basic::Excess(_)) && share <= EXCESS;
            if pivot > PIVOT || (spent && pivot.abs() > PIVOT) {
                let ratio = if spent { 0.0 } else { share.max(0.0) / pivot };
                if best.is_none_or(|(r, p, _)| ratio < r || (ratio == r && pivot.abs() > p)) {
                    best = Some((ratio, pivot.abs(), row));
                }
            }
        }
        best.map(|(_, _, row)| row)
    }

    /// The coefficients of a variable: one per limit, then its share.
    fn coefficients(&self, basic: &Basic) -> Vec<f64> {
        let unit = |at: usize, value: f64| {
            (0..=self.room.len()).map(|i| if i == at { value } else { 0.0 }).collect()
        };
        match basic {
            Basic::Column(column) => column.scaled[1..].iter().copied().chain([1.0]).collect(),
            Basic::Slack(i) => unit(*i, 1.0),
            Basic::Excess(i) => unit(*i, -1.0),
        }
    }
}

impl Vertex {
    fn reduced_cost(&self, column: &Column) -> f64 {
        let own = if self.outside { 0.0 } else { column.scaled[OBJECTIVE] };
        own - dot(&self.duals, &column.scaled[1..]) - self.duals[self.duals.len() - 1]
    }
}

fn mixture(basis: &[Basic], shares: &[f64]) -> Vec<(Rc<Column>, f64)> {
    let column = |(basic, &share): (&Basic, &f64)| match basic {
        Basic::Column(column) if share > PIVOT => Some((column.clone(), share)),
        _ => None,
    };
    basis.iter().zip(shares).filter_map(column).collect()
}

/// The sum of products, as long as the shorter of the two.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The inverse by Gauss–Jordan elimination with row pivoting; `None` for a singular matrix.
fn invert(mut matrix: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let n = matrix.len();
    for (i, row) in matrix.iter_mut().enumerate() {
        row.extend((0..n).map(|j| if i == j { 1.0 } else { 0.0 }));
    }
    for k in 0..n {
        let pivot = (k..n).reduce(|a, b| if matrix[b][k].abs() > matrix[a][k].abs() { b } else { a })?;
        if matrix[pivot][k].abs() < 1e-14 {
            return None;
        }
        matrix.swap(k, pivot);
        let scale = 1.0 / matrix[k][k];
        matrix[k].iter_mut().for_each(|x| *x *= scale);
        let row = matrix[k].clone();
        for (i, other) in matrix.iter_mut().enumerate() {
            let factor = other[k];
            if i != k && factor != 0.0 {
                other.iter_mut().zip(&row).for_each(|(x, r)| *x -= factor * r);
            }
        }
    }
    Some(matrix.into_iter().map(|row| row[n..].to_vec()).collect())
}
