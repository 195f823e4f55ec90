//! Seeded orthogonal transforms that spread every coordinate over all others (QuaRot, Ashkboos et al., arXiv
//! 2404.00456; QuIP#, Tseng et al., arXiv 2402.04396).
//!
//! For a width of `2^k · m` with odd `m`: random signs, then the Walsh–Hadamard transform of order `2^k` by fast butterflies
//! across `m` interleaved parts, then the orthonormal cosine transform (DCT-II) of order `m` across these. All sums are in
//! f64 and in a fixed order, and the cosines are made by multiplication, so that no libm has a say.

use rayon::prelude::*;

use super::matmul::WIDE;
use crate::random::SplitMix64;

/// The orthogonal matrix `Q` of one width and seed.
#[derive(Clone, Debug)]
pub struct HadamardRotation {
    width: usize,
    signs: Vec<f64>,
    /// The orthonormal cosine matrix of order `m`, row-major, divided by `√2^k`.
    mixing: Vec<f64>,
}

impl HadamardRotation {
    /// The transform of `width` coordinates that belongs to `seed`. Time of each use grows with
    /// `width · (k + m)`. Panics if `width` is zero.
    pub fn new(width: usize, seed: u64) -> HadamardRotation {
        assert!(width > 0, "a rotation needs coordinates");
        let hadamard = 1 << width.trailing_zeros();
        let order = width / hadamard;
        let norm = (hadamard as f64).sqrt();
        let mixing = cosines(order).into_iter().map(|c| c / norm).collect();
        HadamardRotation { width, signs: signs(width, seed), mixing }
    }

    /// How many coordinates it transforms.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rotates every row of a row-major matrix of `width` columns: `w ↦ Q w`. As `W x = (W Qᵀ)(Q x)`, this is what
    /// weights undergo whose inputs are rotated. Panics unless the matrix is whole rows.
    pub fn rotate_rows(&self, matrix: &mut [f32]) {
        self.rows(matrix, HadamardRotation::forward);
    }

    /// Undoes [`HadamardRotation::rotate_rows`]: `w ↦ Qᵀ w`.
    pub fn unrotate_rows(&self, matrix: &mut [f32]) {
        self.rows(matrix, HadamardRotation::backward);
    }

    /// Rotates every column of a row-major matrix of `width` rows: `W ↦ Q W`, which rotates its outputs. Panics unless the
    /// matrix has that many rows of `cols`.
    pub fn rotate_columns(&self, matrix: &mut [f32], cols: usize) {
        self.columns(matrix, cols, HadamardRotation::forward);
    }

    /// Undoes [`HadamardRotation::rotate_columns`]: `W ↦ Qᵀ W`.
    pub fn unrotate_columns(&self, matrix: &mut [f32], cols: usize) {
        self.columns(matrix, cols, HadamardRotation::backward);
    }

    fn rows(&self, matrix: &mut [f32], transform: impl Fn(&HadamardRotation, &mut [[f64; WIDE]]) + Sync) {
        assert!(matrix.len().is_multiple_of(self.width), "the matrix is not whole rows of {}", self.width);
        matrix.par_chunks_mut(WIDE * self.width).for_each(|rows| {
            let mut x = vec![[0.0; WIDE]; self.width];
            for (i, row) in rows.chunks(self.width).enumerate() {
                x.iter_mut().zip(row).for_each(|(x, w)| x[i] = f64::from(*w));
            }
            transform(self, &mut x);
            for (i, row) in rows.chunks_mut(self.width).enumerate() {
                row.iter_mut().zip(&x).for_each(|(w, x)| *w = x[i] as f32);
            }
        });
    }

    fn columns(
        &self,
        matrix: &mut [f32],
        cols: usize,
        transform: impl Fn(&HadamardRotation, &mut [[f64; WIDE]]) + Sync,
    ) {
        assert_eq!(matrix.len(), self.width * cols, "the matrix has not {} rows of {cols}", self.width);
        let rotated: Vec<Vec<[f64; WIDE]>> = (0..cols.div_ceil(WIDE))
            .into_par_iter()
            .map(|strip| {
                let element =
                    |row: &[f32], i: usize| row.get(strip * WIDE + i).map_or(0.0, |&w| f64::from(w));
                let lanes = |row| std::array::from_fn(|i| element(row, i));
                let mut x: Vec<[f64; WIDE]> = matrix.chunks(cols).map(lanes).collect();
                transform(self, &mut x);
                x
            })
            .collect();
        matrix.par_chunks_mut(cols.max(1)).enumerate().for_each(|(row, out)| {
            for (out, strip) in out.chunks_mut(WIDE).zip(&rotated) {
                out.iter_mut().zip(strip[row]).for_each(|(w, x)| *w = x as f32);
            }
        });
    }

    /// `x ↦ Q x` for 16 vectors side by side.
    fn forward(&self, x: &mut [[f64; WIDE]]) {
        for (x, sign) in x.iter_mut().zip(&self.signs) {
            x.iter_mut().for_each(|x| *x *= sign);
        }
        self.butterflies(x);
        self.mix(x, |order, i, j| self.mixing[i * order + j]);
    }

    /// `x ↦ Qᵀ x` for 16 vectors side by side.
    fn backward(&self, x: &mut [[f64; WIDE]]) {
        self.mix(x, |order, i, j| self.mixing[j * order + i]);
        self.butterflies(x);
        for (x, sign) in x.iter_mut().zip(&self.signs) {
            x.iter_mut().for_each(|x| *x *= sign);
        }
    }

    /// The unnormalised Walsh–Hadamard transform, by doubling distances from `m` on.
    fn butterflies(&self, x: &mut [[f64; WIDE]]) {
        let mut half = self.width >> self.width.trailing_zeros();
        while half < self.width {
            for pair in x.chunks_exact_mut(2 * half) {
                let (low, high) = pair.split_at_mut(half);
                for (a, b) in low.iter_mut().zip(high) {
                    for i in 0..WIDE {
                        (a[i], b[i]) = (a[i] + b[i], a[i] - b[i]);
                    }
                }
            }
            half *= 2;
        }
    }

    /// Multiplies each run of `m` by the matrix whose elements are given.
    fn mix(&self, x: &mut [[f64; WIDE]], element: impl Fn(usize, usize, usize) -> f64) {
        let order = self.width >> self.width.trailing_zeros();
        let mut from = vec![[0.0; WIDE]; order];
        for run in x.chunks_exact_mut(order) {
            from.copy_from_slice(run);
            for (i, to) in run.iter_mut().enumerate() {
                *to = [0.0; WIDE];
                for (j, x) in from.iter().enumerate() {
                    let c = element(order, i, j);
                    to.iter_mut().zip(x).for_each(|(to, x)| *to += c * x);
                }
            }
        }
    }
}

/// The signs of a seed: the highest bit of each number of its stream.
fn signs(count: usize, seed: u64) -> Vec<f64> {
    let mut random = SplitMix64::new(seed);
    (0..count).map(|_| if random.bits() >> 63 == 0 { 1.0 } else { -1.0 }).collect()
}

/// The orthonormal DCT-II: `√(2/m) · cos(π i (2j + 1) / 2m)`, the first row `√(1/m)`.
fn cosines(order: usize) -> Vec<f64> {
    let m = order as f64;
    let turns = quarter_turns(order);
    let element = |i: usize, j: usize| match i {
        0 => (1.0 / m).sqrt(),
        _ => (2.0 / m).sqrt() * turns[i * (2 * j + 1) % (4 * order)],
    };
    (0..order).flat_map(|i| (0..order).map(move |j| (i, j))).map(|(i, j)| element(i, j)).collect()
}

/// `cos(2π n / 4m)` for `n` in `0..4m`: powers of one root of unity, itself a Taylor sum.
fn quarter_turns(order: usize) -> Vec<f64> {
    let angle = std::f64::consts::FRAC_PI_2 / order as f64;
    let (mut cos, mut sin, mut term) = (0.0, 0.0, 1.0);
    for power in 1..=24 {
        // Terms 1, x, x²/2, x³/6 …, with the signs + + − −.
        let sign = if (power - 1) / 2 % 2 == 0 { 1.0 } else { -1.0 };
        if power % 2 == 1 {
            cos += sign * term
        } else {
            sin += sign * term
        }
        term *= angle / f64::from(power);
    }
    let mut root = (1.0, 0.0);
    let mut turns = Vec::with_capacity(4 * order);
    for _ in 0..4 * order {
        turns.push(root.0);
        root = (root.0 * cos - root.1 * sin, root.0 * sin + root.1 * cos);
    }
    turns
}
