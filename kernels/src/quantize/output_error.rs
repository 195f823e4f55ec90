//! The output error of a rounded tensor under the Hessian of its inputs.

use rayon::prelude::*;

use super::Hessian;
use super::matmul::{DEPTH, TALL, Tile, WIDE, add_products};
use crate::encoded::EncodedRef;
use crate::format::{RowSource, decode_rows};

/// Strips of 16 rows that one task takes together.
const STRIPS: usize = 4;
/// Columns whose products are taken together.
const COLUMNS: usize = 128;

/// `tr((W − Ŵ) H (W − Ŵ)ᵀ)`: the squared error of all outputs, summed over the tokens of `h`. `source` has the rows of
/// `W`, `rounded` may have any layout. Divide by [`output_energy`] for the share of the output's energy.
/// Panics if `h` and `rounded` differ in columns.
pub fn output_error(source: &dyn RowSource, rounded: EncodedRef<'_>, h: &Hessian) -> f64 {
    output_errors(source, rounded, h).iter().sum()
}

/// The same of each output: `(w − ŵ) H (w − ŵ)ᵀ` of each row.
pub fn output_errors(source: &dyn RowSource, rounded: EncodedRef<'_>, h: &Hessian) -> Vec<f64> {
    quadratic(rounded.rows, h, rounded.cols, |first, out| {
        let mut decoded = vec![0.0; out.len()];
        source.read(first, out);
        decode_rows(rounded, first, &mut decoded);
        out.iter().zip(decoded).map(|(&w, q)| f64::from(w) - f64::from(q)).collect()
    })
}

/// `tr(W H Wᵀ)`: the energy of all outputs, summed over the tokens of `h`.
pub fn output_energy(source: &dyn RowSource, rows: usize, h: &Hessian) -> f64 {
    output_energies(source, rows, h).iter().sum()
}

/// The same of each output: `w H wᵀ` of each row.
pub fn output_energies(source: &dyn RowSource, rows: usize, h: &Hessian) -> Vec<f64> {
    quadratic(rows, h, h.cols(), |first, out| {
        source.read(first, out);
        out.iter().map(|&w| f64::from(w)).collect()
    })
}

/// `e H eᵀ` of each of the rows that `read` gives, with a buffer of the same rows to work in. As `H` is symmetric it is
/// `2 Σ_k e_k (Σ_{j<k} e_j H_jk + ½ e_k H_kk)`.
fn quadratic(
    rows: usize,
    h: &Hessian,
    cols: usize,
    read: impl Fn(usize, &mut [f32]) -> Vec<f64> + Sync,
) -> Vec<f64> {
    assert_eq!(h.cols(), cols, "the Hessian is of another width");
    if cols == 0 {
        return vec![0.0; rows];
    }
    let task_rows = STRIPS * WIDE;
    let tasks = (0..rows.div_ceil(task_rows)).into_par_iter();
    let sums: Vec<Vec<f64>> = tasks
        .map(|task| {
            let first = task * task_rows;
            let mut buffer = vec![0.0; task_rows.min(rows - first) * cols];
            let values = read(first, &mut buffer);
            let strips: Vec<Vec<[f64; WIDE]>> =
                values.chunks(WIDE * cols).map(|rows| transposed(rows, cols)).collect();
            strip_sums(&strips, h)
        })
        .collect();
    let mut sums = sums.concat();
    sums.truncate(rows);
    sums
}

/// Sixteen rows by column; rows beyond the end are zero.
fn transposed(rows: &[f64], cols: usize) -> Vec<[f64; WIDE]> {
    let lane = |i: usize, column: usize| rows.get(i * cols + column).copied().unwrap_or(0.0);
    (0..cols).map(|column| std::array::from_fn(|i| lane(i, column))).collect()
}

/// `e H eᵀ` of each row of each strip.
fn strip_sums(strips: &[Vec<[f64; WIDE]>], h: &Hessian) -> Vec<f64> {
    let cols = h.cols();
    let mut panel = Vec::new();
    let mut sums = vec![0.0; strips.len() * WIDE];
    for start in (0..cols).step_by(COLUMNS) {
        let end = cols.min(start + COLUMNS);
        let mut batches = vec![[[0.0; WIDE]; COLUMNS]; strips.len()];
        for depth in (0..end).step_by(DEPTH) {
            let depths = depth..end.min(depth + DEPTH);
            pack(h, depths.clone(), start, &mut panel);
            for (batch, strip) in batches.iter_mut().zip(strips) {
                let tiles: &mut [Tile] = batch.as_chunks_mut().0;
                add_products(&panel, &strip[depths.clone()], tiles);
            }
        }
        for ((batch, strip), sums) in batches.iter().zip(strips).zip(sums.chunks_exact_mut(WIDE)) {
            for (batch, e) in batch.iter().zip(&strip[start..end]) {
                for i in 0..WIDE {
                    sums[i] += 2.0 * batch[i] * e[i];
                }
            }
        }
    }
    sums
}

/// Packs rows `depths` of the strict upper triangle and half the diagonal, from column `start` on, as panels of eight
/// columns.
fn pack(h: &Hessian, depths: std::ops::Range<usize>, start: usize, panel: &mut Vec<[f64; TALL]>) {
    panel.clear();
    let element = |row: &[f64], k: usize, column: usize| match column.checked_sub(k) {
        Some(0) => 0.5 * row[0],
        Some(right) => row.get(right).copied().unwrap_or(0.0),
        None => 0.0,
    };
    for at in (start..h.cols().min(start + COLUMNS)).step_by(TALL) {
        panel.extend(depths.clone().map(|k| {
            let row = h.upper(k);
            std::array::from_fn(|i| element(row, k, at + i))
        }));
    }
}
