//! The Cholesky factor of the Hessian that error compensation needs: `H + damping = U D Uᵀ` with a unit upper triangular
//! `U`.
//!
//! GPTQ (Frantar et al., arXiv 2210.17323) uses the upper Cholesky factor `C` of `H⁻¹ = CᵀC`. As `H = U D Uᵀ` gives
//! `C = D^(−1/2) U⁻¹`, correcting later columns by `C` is the same as correcting a column by `U` for all errors before it
//! (QuIP's LDLQ, Chee et al., arXiv 2307.13304, theorem 6). This takes a quarter of the operations and no inverse.

use rayon::prelude::*;

use super::hessian::{Hessian, stride};
use super::matmul::{PanelMut, TALL, WIDE, add_to_panel};

/// Columns that are eliminated together.
const BLOCK: usize = 128;
/// Rows of the matrix that one task updates.
const TASK_ROWS: usize = 64;

/// What is added to the diagonal: `mean · (mean of the diagonal) + diagonal · H_kk`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damping {
    /// Share of the mean diagonal; GPTQ's 0.01.
    pub mean: f64,
    /// Share of the column's own element (Marquardt, 1963): does not depend on how channels are scaled.
    pub diagonal: f64,
}

impl Default for Damping {
    fn default() -> Damping {
        Damping { mean: 0.01, diagonal: 0.0 }
    }
}

/// The order in which columns are rounded (activation order, `actorder`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnOrder {
    /// As they stand.
    Natural,
    /// By falling diagonal, so that what matters most is rounded first and corrected by the rest.
    /// Runs of `block` columns stay together, ordered by their sums and within by their own; 1 lets each column go its
    /// way. A format whose blocks stay together takes its scales from the compensated weights when a block is
    /// reached; otherwise all scales are taken from the original weights first (static groups).
    Descending {
        /// Columns that stay together: [`samp_abi::Format::column_multiple`].
        block: usize,
    },
}

/// How much damping the factorization took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Damped {
    /// With the damping asked for.
    AsAsked,
    /// Only with a greater share of the mean diagonal, this one.
    Raised(f64),
    /// Not at all, as no input ever differed from zero: nothing is compensated.
    NoInput,
}

/// `U`, `D` and the permutation of the columns. Used for any number of weights and formats over the same inputs.
#[derive(Clone, Debug)]
pub struct CholeskyFactor {
    pub(super) cols: usize,
    /// Which column is rounded at each step (GPTQ's `perm`).
    pub(super) perm: Vec<usize>,
    /// `U` above its diagonal, `[stride, stride]`.
    pub(super) upper: Vec<f64>,
    /// `D`: the energy of a column that those after it do not explain.
    pub(super) diag: Vec<f64>,
    /// What was added to the diagonal of `H`, permuted.
    pub(super) damping: Vec<f64>,
    /// The diagonal of `H + damping`, permuted.
    pub(super) damped_diag: Vec<f64>,
    damped: Damped,
}

impl CholeskyFactor {
    /// Factors `h`. Where a pivot is lost to rounding, the mean share of the damping is raised to at least 10⁻⁶, then
    /// tenfold until it is not; [`CholeskyFactor::damped`] tells. Takes 8 bytes for each pair of columns and `n³/3` operations.
    pub fn new(h: &Hessian, order: ColumnOrder, damping: Damping) -> CholeskyFactor {
        let (energy, mean) = (h.diagonal(), h.mean_diagonal());
        let perm = permutation(&energy, order);
        let mut factor = CholeskyFactor {
            cols: h.cols(),
            upper: Vec::new(),
            diag: vec![0.0; h.cols()],
            damping: vec![0.0; h.cols()],
            damped_diag: perm.iter().map(|&c| energy[c]).collect(),
            perm,
            damped: Damped::NoInput,
        };
        // Without input there is nothing to factor; a share beyond all numbers means that `h` itself is not finite.
        let mut share = if mean > 0.0 { damping.mean } else { f64::INFINITY };
        while share.is_finite() {
            let added = |&c: &usize| share * mean + damping.diagonal * energy[c];
            factor.damping = factor.perm.iter().map(added).collect();
            factor.load_damped(h);
            if eliminate(&mut factor.upper, stride(factor.cols), &factor.damped_diag) {
                let asked = share == damping.mean;
                factor.damped = if asked { Damped::AsAsked } else { Damped::Raised(share) };
                factor.normalise();
                break;
            }
            share = (10.0 * share).max(1e-6);
        }
        factor
    }

    /// How much damping it took.
    pub fn damped(&self) -> Damped {
        self.damped
    }

    /// Which column is rounded at each step (GPTQ's `perm`).
    pub fn perm(&self) -> &[usize] {
        &self.perm
    }

    /// The diagonal `D`, permuted.
    pub fn diag(&self) -> &[f64] {
        &self.diag
    }

    /// The element `(i, j)` of `U`, both permuted.
    pub fn at(&self, i: usize, j: usize) -> f64 {
        match i.cmp(&j) {
            std::cmp::Ordering::Less if !self.upper.is_empty() => self.upper[i * stride(self.cols) + j],
            std::cmp::Ordering::Equal => 1.0,
            _ => 0.0,
        }
    }

    /// `x` with `(H + damping) x = b`, in the order of the weight's columns; zeros where nothing was factored.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        if self.upper.is_empty() {
            return vec![0.0; self.cols];
        }
        let line = |i: usize| &self.upper[i * stride(self.cols)..][i + 1..self.cols];
        let mut x: Vec<f64> = self.perm.iter().map(|&column| b[column]).collect();
        for i in (0..self.cols).rev() {
            let (known, later) = x.split_at_mut(i + 1);
            known[i] -= line(i).iter().zip(&*later).map(|(u, x)| u * x).sum::<f64>();
        }
        x.iter_mut().zip(&self.diag).for_each(|(x, d)| *x /= d);
        for i in 0..self.cols {
            let (known, later) = x.split_at_mut(i + 1);
            later.iter_mut().zip(line(i)).for_each(|(x, u)| *x -= u * known[i]);
        }
        let mut solution = vec![0.0; self.cols];
        self.perm.iter().zip(x).for_each(|(&column, x)| solution[column] = x);
        solution
    }

    /// Loads `H + damping`, permuted, into `upper`; the padding is the identity.
    fn load_damped(&mut self, h: &Hessian) {
        let (cols, stride, perm, damping) = (self.cols, stride(self.cols), &self.perm, &self.damping);
        self.upper.resize(stride * stride, 0.0);
        self.upper.par_chunks_mut(stride).enumerate().for_each(|(i, row)| {
            row.fill(0.0);
            if i >= cols {
                row[i] = 1.0;
                return;
            }
            for (x, &column) in row[i..].iter_mut().zip(&perm[i..]) {
                *x = h.at(perm[i], column);
            }
            row[i] += damping[i];
        });
        self.damped_diag = (0..cols).map(|i| self.upper[i * stride + i]).collect();
    }

    /// From `R` with `R Rᵀ = H` to `U` and `D`.
    fn normalise(&mut self) {
        let (cols, stride) = (self.cols, stride(self.cols));
        let roots: Vec<f64> = (0..cols).map(|i| self.upper[i * stride + i]).collect();
        self.upper.par_chunks_mut(stride).enumerate().for_each(|(i, row)| {
            row.iter_mut().zip(&roots).skip(i).for_each(|(x, root)| *x /= root);
        });
        self.diag = roots.iter().map(|root| root * root).collect();
    }
}

/// The columns in the order asked for; equals stay as they are.
fn permutation(energy: &[f64], order: ColumnOrder) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..energy.len()).collect();
    if let ColumnOrder::Descending { block } = order {
        let mut blocks: Vec<&mut [usize]> = columns.chunks_mut(block.max(1)).collect();
        blocks.iter_mut().for_each(|b| b.sort_by(|&i, &j| energy[j].total_cmp(&energy[i])));
        let sum = |b: &[usize]| b.iter().map(|&i| energy[i]).sum::<f64>();
        // A shorter last block would shift all after it.
        let whole = energy.len() / block.max(1);
        blocks[..whole].sort_by(|a, b| sum(b).total_cmp(&sum(a)));
        columns = blocks.iter().flat_map(|b| b.iter().copied()).collect();
    }
    columns
}

/// Overwrites the upper triangle of a symmetric matrix with `R`, `R Rᵀ` being the matrix: blocks of columns from the
/// last to the first (Golub and Van Loan, "Matrix Computations", section 4.2, from the other end). False where a pivot
/// is no more than rounding errors of its element of `diagonal`.
fn eliminate(matrix: &mut [f64], stride: usize, diagonal: &[f64]) -> bool {
    let tolerance = diagonal.len() as f64 * f64::EPSILON;
    for start in (0..stride).step_by(BLOCK).rev() {
        let width = BLOCK.min(stride - start);
        let (above, block) = matrix.split_at_mut(start * stride);
        let block = &mut block[..width * stride];
        for k in (0..width).rev() {
            let least = diagonal.get(start + k).map_or(0.0, |d| d * tolerance);
            if !eliminate_column(block, stride, start, k, least) {
                return false;
            }
        }
        let solved = solve_above(above, block, stride, start);
        let b: Vec<&[[f64; WIDE]]> = solved.chunks(width).collect();
        above.par_chunks_mut(TASK_ROWS * stride).enumerate().for_each(|(index, rows)| {
            let first = index * TASK_ROWS;
            let last = first + rows.len() / stride;
            let a = negated(&b[first / WIDE..last / WIDE]);
            let mut tiles = Vec::new();
            for at in (first..start).step_by(WIDE) {
                let panel = PanelMut { rows, stride, at };
                add_to_panel(panel, &a, b[at / WIDE], &mut tiles);
            }
        });
    }
    true
}

/// Eliminates column `start + k` from the rows of its own block.
fn eliminate_column(block: &mut [f64], stride: usize, start: usize, k: usize, least: f64) -> bool {
    let pivot = block[k * stride + start + k];
    // Written so that NaN fails.
    let positive = pivot > least;
    if !positive {
        return false;
    }
    let root = pivot.sqrt();
    block[k * stride + start + k] = root;
    let mut column = [0.0; BLOCK];
    for (i, c) in column[..k].iter_mut().enumerate() {
        *c = block[i * stride + start + k] / root;
        block[i * stride + start + k] = *c;
    }
    for i in 0..k {
        let row = &mut block[i * stride + start..][i..k];
        row.iter_mut().zip(&column[i..k]).for_each(|(x, c)| *x -= column[i] * c);
    }
    true
}

/// Solves `X Rᵀ = H` for the rows above a finished block, 16 at a time. Returns `X` by columns within each 16 rows.
fn solve_above(above: &mut [f64], block: &[f64], stride: usize, start: usize) -> Vec<[f64; WIDE]> {
    let width = block.len() / stride;
    let mut solved = vec![[0.0; WIDE]; above.len() / stride / WIDE * width];
    let tasks = above.par_chunks_mut(WIDE * stride).zip(solved.par_chunks_mut(width));
    tasks.for_each(|(rows, x)| {
        for (i, row) in rows.chunks(stride).enumerate() {
            x.iter_mut().zip(&row[start..]).for_each(|(x, value)| x[i] = *value);
        }
        for m in (0..width).rev() {
            let (before, from) = x.split_at_mut(m);
            let known = &mut from[0];
            let root = block[m * stride + start + m];
            known.iter_mut().for_each(|x| *x /= root);
            for (k, x) in before.iter_mut().enumerate() {
                let r = block[k * stride + start + m];
                x.iter_mut().zip(&*known).for_each(|(x, known)| *x -= known * r);
            }
        }
        for (i, row) in rows.chunks_mut(stride).enumerate() {
            row[start..].iter_mut().zip(&*x).for_each(|(value, x)| *value = x[i]);
        }
    });
    solved
}

/// Panels of 16 columns as panels of eight, with the other sign.
fn negated(panels: &[&[[f64; WIDE]]]) -> Vec<[f64; TALL]> {
    let halves = panels.iter().flat_map(|panel| [(panel, 0), (panel, TALL)]);
    halves.flat_map(|(panel, at)| panel.iter().map(move |x| std::array::from_fn(|i| -x[at + i]))).collect()
}
