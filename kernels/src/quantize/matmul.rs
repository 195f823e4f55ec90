//! Products of f64 matrices, tile by tile.
//!
//! Every element is one chain of fused multiply–adds in ascending order of the summed index, starting from the value
//! that it had. So neither vector width nor threads nor how a sum is cut into calls changes a bit.

use std::array::from_fn;

use rayon::prelude::*;

use crate::simd::Width;
use crate::simd::f64x8::{self, Doubles};

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
    match Width::detect() {
        // SAFETY: `detect` names what the machine has.
        #[cfg(target_arch = "x86_64")]
        Width::Avx512 => unsafe { avx512(a, b, tiles) },
        // SAFETY: `detect` names what the machine has.
        #[cfg(target_arch = "x86_64")]
        Width::Avx2 => unsafe { avx2(a, b, tiles) },
        _ => panels(f64x8::Portable, a, b, tiles),
    }
}

/// # Safety
/// The machine has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(a: &[[f64; TALL]], b: &[[f64; WIDE]], tiles: &mut [Tile]) {
    // SAFETY: the caller promises the instructions.
    panels(unsafe { f64x8::Avx512::new() }, a, b, tiles);
}

/// # Safety
/// The machine has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(a: &[[f64; TALL]], b: &[[f64; WIDE]], tiles: &mut [Tile]) {
    // SAFETY: the caller promises the instructions.
    panels(unsafe { f64x8::Avx2::new() }, a, b, tiles);
}

#[inline(always)]
fn panels<D: Doubles>(d: D, a: &[[f64; TALL]], b: &[[f64; WIDE]], tiles: &mut [Tile]) {
    for (a, tile) in a.chunks_exact(b.len()).zip(tiles) {
        if D::REGISTERS >= 32 {
            part::<D, 8, 2>(d, a, b, tile, (0, 0));
        } else {
            for at in [(0, 0), (0, 1), (4, 0), (4, 1)] {
                part::<D, 4, 1>(d, a, b, tile, at);
            }
        }
    }
}

/// `M` rows and `N` vectors of a tile from `at` on, as many as the machine has registers for.
#[inline(always)]
fn part<D: Doubles, const M: usize, const N: usize>(
    d: D,
    a: &[[f64; TALL]],
    b: &[[f64; WIDE]],
    tile: &mut Tile,
    (top, left): (usize, usize),
) {
    let mut sums: [[D::V; N]; M] = from_fn(|i| from_fn(|j| d.load(&tile[top + i].as_chunks().0[left + j])));
    for (a, b) in a.iter().zip(b) {
        let b: [D::V; N] = from_fn(|j| d.load(&b.as_chunks().0[left + j]));
        for (i, sums) in sums.iter_mut().enumerate() {
            let a = d.splat(a[top + i]);
            for (sum, b) in sums.iter_mut().zip(&b) {
                *sum = d.mul_add(a, *b, *sum);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            d.store(*sum, &mut tile[top + i].as_chunks_mut().0[left + j]);
        }
    }
}

/// Adds the product of `a` (a panel for every eight rows) and `b` to the 16 columns from `at` on of a row-major matrix
/// given with its stride.
pub(super) fn add_to_panel(
    (rows, stride, at): (&mut [f64], usize, usize),
    a: &[[f64; TALL]],
    b: &[[f64; WIDE]],
    tiles: &mut Vec<Tile>,
) {
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
