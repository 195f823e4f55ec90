//! Products of f64 matrices, tile by tile.
//!
//! Every element is one chain of fused multiply–adds in ascending order of the summed index, starting from the value
//! that it had. So neither vector width nor threads nor how a sum is cut into calls changes a bit.

use std::array::from_fn;

use rayon::prelude::*;

use crate::simd::{self, Job, Lanes, Width};

/// Rows of a tile of the result.
pub(super) const TALL: usize = 8;
/// Columns of a tile of the result; also the rows of a weight that are rounded side by side.
pub(super) const WIDE: usize = 16;
/// Summed indices of one pass, so that a packed panel stays in the second cache.
pub(super) const DEPTH: usize = 256;

/// A tile of the result.
pub(super) type Tile = [[f64; WIDE]; TALL];

/// Rows `[tokens, cols]` in panels of `N` columns, `[panel, token]`, with zeros up to whole tiles.
pub(super) fn packed<const N: usize>(rows: &[f32], cols: usize) -> Vec<[f64; N]> {
    let tokens = rows.len() / cols;
    let mut packed = vec![[0.0; N]; cols.next_multiple_of(WIDE) / N * tokens];
    packed.par_chunks_mut(tokens).enumerate().for_each(|(panel, to)| {
        let rows = rows.chunks_exact(cols);
        to.iter_mut().zip(rows).for_each(|(to, row)| *to = columns(row, panel * N));
    });
    packed
}

/// `N` columns of a row from `at` on, with zeros beyond the end.
#[inline(always)]
fn columns<const N: usize>(row: &[f32], at: usize) -> [f64; N] {
    match row.get(at..at + N) {
        Some(found) => from_fn(|i| f64::from(found[i])),
        None => from_fn(|i| row.get(at + i).map_or(0.0, |&x| f64::from(x))),
    }
}

/// `tile[i][j] += Σ_k a[k][i] · b[k][j]` for each tile. `a` holds a panel of as many rows as `b` for each tile, one
/// after another.
pub(super) fn add_products(a: &[[f64; TALL]], b: &[[f64; WIDE]], tiles: &mut [Tile]) {
    if b.is_empty() {
        return;
    }
    simd::run(Width::detect(), Products { panels: Panels { a, b }, tiles });
}

/// The two packed operands of a product.
#[derive(Clone, Copy)]
struct Panels<'a> {
    a: &'a [[f64; TALL]],
    b: &'a [[f64; WIDE]],
}

/// [`add_products`] at one vector width.
struct Products<'a> {
    panels: Panels<'a>,
    tiles: &'a mut [Tile],
}

impl Job for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Panels { a, b } = self.panels;
        for (a, tile) in a.chunks_exact(b.len()).zip(self.tiles) {
            let panels = Panels { a, b };
            if L::REGISTERS >= 32 {
                micro_kernel::<L, 8, 2>(l, panels, tile, 0, 0);
            } else {
                for (top, left) in [(0, 0), (0, 1), (4, 0), (4, 1)] {
                    micro_kernel::<L, 4, 1>(l, panels, tile, top, left);
                }
            }
        }
    }
}

/// `M` rows and `N` vectors of a tile from row `top` and vector `left` on, as many as the machine has registers for.
#[inline(always)]
fn micro_kernel<L: Lanes, const M: usize, const N: usize>(
    l: L,
    panels: Panels<'_>,
    tile: &mut Tile,
    top: usize,
    left: usize,
) {
    let mut sums: [[L::D; N]; M] =
        from_fn(|i| from_fn(|j| l.load_f64(&tile[top + i].as_chunks().0[left + j])));
    for (a, b) in panels.a.iter().zip(panels.b) {
        let b: [L::D; N] = from_fn(|j| l.load_f64(&b.as_chunks().0[left + j]));
        for (i, sums) in sums.iter_mut().enumerate() {
            let a = l.splat_f64(a[top + i]);
            for (sum, b) in sums.iter_mut().zip(&b) {
                *sum = l.mul_add_f64(a, *b, *sum);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            l.store_f64(*sum, &mut tile[top + i].as_chunks_mut().0[left + j]);
        }
    }
}

/// Sixteen columns of a row-major matrix.
pub(super) struct PanelMut<'a> {
    /// Whole rows of the matrix.
    pub rows: &'a mut [f64],
    /// Elements from one row to the next.
    pub stride: usize,
    /// The first of the columns.
    pub at: usize,
}

/// Adds the product of `a` (a panel for every eight rows) and `b` to 16 columns of a matrix.
pub(super) fn add_to_panel(panel: PanelMut<'_>, a: &[[f64; TALL]], b: &[[f64; WIDE]], tiles: &mut Vec<Tile>) {
    let PanelMut { rows, stride, at } = panel;
    tiles.clear();
    tiles.extend(rows.chunks(TALL * stride).map(|rows| {
        let mut tile = [[0.0; WIDE]; TALL];
        for (line, row) in tile.iter_mut().zip(rows.chunks(stride)) {
            line.copy_from_slice(&row[at..at + WIDE]);
        }
        tile
    }));
    add_products(a, b, tiles);
    for (rows, tile) in rows.chunks_mut(TALL * stride).zip(tiles) {
        for (line, row) in tile.iter().zip(rows.chunks_mut(stride)) {
            row[at..at + WIDE].copy_from_slice(line);
        }
    }
}
