//! Rounding column after column while the columns still to come make up for the errors (GPTQ: Frantar et al.,
//! arXiv 2210.17323).
//!
//! With `H = U D Uᵀ` the output error is `tr((W − Ŵ) H (W − Ŵ)ᵀ) = Σ_k D_k ‖w'_k − ŵ_k‖²` where
//! `w'_k = w_k + Σ_{j<k} (w_j − ŵ_j) U_jk`. So each column is corrected by all errors before it, then rounded to the
//! nearest value. Sixteen rows are rounded side by side; corrections from earlier lazy batches of 128 columns are matrix
//! products, those within a batch are made column by column.

use half::f16;

use super::CholeskyFactor;
use super::codebook::{Codebook, ColumnStrip, Scale, scaled};
use super::columns::{Columns, LAZY_BATCH};
use super::hessian::stride;
use super::matmul::{DEPTH, TALL, Tile, WIDE, add_products};
use super::scale_search::BestScales;
use crate::simd::{self, Job, Lanes, Width};

/// What all strips of a tensor have in common.
pub(super) struct StripContext<'a, B> {
    pub codebook: &'a B,
    pub columns: &'a Columns,
    pub factor: Option<&'a CholeskyFactor>,
    /// Multiples of the extent to try.
    pub multiples: Vec<f32>,
    /// Rows of the tensor.
    pub rows: usize,
}

/// Sixteen rows; those beyond the end of the tensor are zero.
pub(super) struct Strip {
    /// The first row.
    first: usize,
    /// Permuted: the weight until it is rounded, then its error.
    errors: Vec<[f64; WIDE]>,
    /// By block of columns.
    pub scales: Vec<[Scale; WIDE]>,
    /// The codes of each column.
    pub codes: Vec<[u8; WIDE]>,
    /// By outlier column.
    pub kept: Vec<[f16; WIDE]>,
    /// Output error so far.
    pub losses: [f64; WIDE],
}

impl Strip {
    /// Takes rows `first..`, row-major.
    pub fn new<B: Codebook>(context: &StripContext<'_, B>, first: usize, rows: &[f32]) -> Strip {
        let columns = context.columns;
        let cols = columns.perm.len();
        let weight = |column: &usize| -> [f64; WIDE] {
            std::array::from_fn(|i| rows.get(i * cols + column).map_or(0.0, |&w| f64::from(w)))
        };
        let mut strip = Strip {
            first,
            errors: columns.perm.iter().map(weight).collect(),
            scales: vec![[Scale::default(); WIDE]; columns.blocks()],
            codes: vec![[0; WIDE]; cols],
            kept: vec![[f16::ZERO; WIDE]; columns.kept.iter().flatten().count()],
            losses: [0.0; WIDE],
        };
        if !columns.dynamic_groups {
            for block in 0..columns.blocks() {
                let mut indices = columns.inverse_perm[block * columns.block..][..columns.block].to_vec();
                indices.retain(|&perm_index| columns.kept[perm_index].is_none());
                let x: Vec<ColumnStrip> = indices.iter().map(|&index| narrow(&strip.errors[index])).collect();
                let importance: Vec<f32> = indices.iter().map(|&index| columns.importance[index]).collect();
                strip.scales[block] = context.scales(first, block, &x, &importance);
            }
        }
        strip
    }
}

impl<B: Codebook> StripContext<'_, B> {
    /// Rounds all columns of some strips.
    pub fn round(&self, strips: &mut [Strip]) {
        let cols = self.columns.perm.len();
        let mut panel = Vec::new();
        let mut inner = Vec::new();
        let mut batches = vec![[[0.0; WIDE]; LAZY_BATCH]; strips.len()];
        for start in (0..cols).step_by(LAZY_BATCH) {
            let width = LAZY_BATCH.min(cols - start);
            for (batch, strip) in batches.iter_mut().zip(&*strips) {
                batch[..width].copy_from_slice(&strip.errors[start..start + width]);
            }
            if let Some(factor) = self.factor {
                for depth in (0..start).step_by(DEPTH) {
                    let depths = depth..start.min(depth + DEPTH);
                    pack(factor, depths.clone(), start, &mut panel);
                    for (batch, strip) in batches.iter_mut().zip(&*strips) {
                        let tiles: &mut [Tile] = batch.as_chunks_mut().0;
                        add_products(&panel, &strip.errors[depths.clone()], tiles);
                    }
                }
                let line = |k: usize| &factor.upper[k * stride(cols) + start..][..width];
                inner.clear();
                inner.extend((start..start + width).flat_map(line));
            }
            for (batch, strip) in batches.iter_mut().zip(&mut *strips) {
                let (batch, factor) = (&mut batch[..width], BatchFactor { upper: &inner, width });
                simd::run(Width::detect(), Batch { context: self, strip, start, batch, factor });
            }
        }
    }

    /// The scales of a block whose weights are `x`, by column.
    #[inline(always)]
    fn scales(&self, first: usize, block: usize, x: &[ColumnStrip], importance: &[f32]) -> [Scale; WIDE] {
        // Rows beyond the end take the last one's place.
        let row = |i: usize| (first + i).min(self.rows - 1);
        let blocks = std::array::from_fn(|i| row(i) * self.columns.blocks() + block);
        let job = BestScales { codebook: self.codebook, x, importance, multiples: &self.multiples, blocks };
        simd::run(Width::detect(), job)
    }
}

/// Packs rows `depths` of the factor, 128 columns from `start` on, as panels of eight columns.
fn pack(factor: &CholeskyFactor, depths: std::ops::Range<usize>, start: usize, panel: &mut Vec<[f64; TALL]>) {
    let stride = stride(factor.cols);
    panel.clear();
    for at in (start..stride.min(start + LAZY_BATCH)).step_by(TALL) {
        let line = |k: usize| factor.upper[k * stride + at..].first_chunk::<TALL>().copied();
        panel.extend(depths.clone().filter_map(line));
    }
}

/// The factor's rows and columns of one lazy batch, `[width, width]`; empty without factor.
#[derive(Clone, Copy)]
struct BatchFactor<'a> {
    upper: &'a [f64],
    width: usize,
}

impl<'a> BatchFactor<'a> {
    /// Row `k` of `U` right of the diagonal: how much of its error each later column of the batch is corrected by.
    #[inline(always)]
    fn right_of_diag(self, k: usize) -> &'a [f64] {
        &self.upper[k * self.width..][k + 1..self.width]
    }
}

/// A lazy batch: the columns from `start` on, corrected by the errors before `start`, to be rounded one by one.
struct Batch<'a, B> {
    context: &'a StripContext<'a, B>,
    strip: &'a mut Strip,
    start: usize,
    batch: &'a mut [[f64; WIDE]],
    factor: BatchFactor<'a>,
}

impl<B: Codebook> Job for Batch<'_, B> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, _: L) {
        let columns = self.context.columns;
        for at in 0..self.batch.len() {
            let perm_index = self.start + at;
            let column = columns.perm[perm_index];
            let block = column / columns.block;
            if columns.dynamic_groups && perm_index.is_multiple_of(columns.block) {
                self.strip.scales[block] = self.block_scales(at, block);
            }
            let (weights, strip) = (self.batch[at], &mut *self.strip);
            let rounded = match columns.kept[perm_index] {
                None => {
                    let codes = &mut strip.codes[column];
                    round_column(self.context.codebook, &weights, &strip.scales[block], codes)
                }
                Some(slot) => keep_f16(&weights, &mut strip.kept[slot]),
            };
            let errors = &mut strip.errors[perm_index];
            for i in 0..WIDE {
                errors[i] -= f64::from(rounded[i]);
            }
            let Some(factor) = self.context.factor else { continue };
            let (diag, damping) = (factor.diag[perm_index], factor.damping[perm_index]);
            for i in 0..WIDE {
                let short = weights[i] - f64::from(rounded[i]);
                strip.losses[i] += diag * short * short - damping * errors[i] * errors[i];
            }
            for (later, u) in self.batch[at + 1..].iter_mut().zip(self.factor.right_of_diag(at)) {
                for i in 0..WIDE {
                    later[i] = u.mul_add(errors[i], later[i]);
                }
            }
        }
    }
}

impl<B: Codebook> Batch<'_, B> {
    /// The scales of the block that begins `at` columns into the batch, on the weights as corrected so far.
    #[inline(always)]
    fn block_scales(&mut self, at: usize, block: usize) -> [Scale; WIDE] {
        let (columns, first) = (self.context.columns, self.start + at);
        let mut x = [[0.0; WIDE]; LAZY_BATCH];
        let x = &mut x[..columns.block];
        x.copy_from_slice(&self.batch[at..][..columns.block]);
        if self.context.factor.is_some() {
            propagate_error(x, &self.strip.errors[first..], self.factor, at);
        }
        let x: [ColumnStrip; LAZY_BATCH] = std::array::from_fn(|k| x.get(k).map_or([0.0; WIDE], narrow));
        let importance = &columns.importance[first..][..columns.block];
        self.context.scales(self.strip.first, block, &x[..columns.block], importance)
    }
}

/// Moves the corrected weights of a block to where they will be if nothing more is rounded: with the errors so far, each
/// column's own correction is an error that columns after it are corrected by. `weights` are the original ones; the
/// block begins `at` columns into the batch of `factor`.
#[inline(always)]
fn propagate_error(x: &mut [[f64; WIDE]], weights: &[[f64; WIDE]], factor: BatchFactor<'_>, at: usize) {
    for k in 0..x.len() {
        let (known, later) = x.split_at_mut(k + 1);
        let moved: [f64; WIDE] = std::array::from_fn(|i| weights[k][i] - known[k][i]);
        for (later, u) in later.iter_mut().zip(factor.right_of_diag(at + k)) {
            for i in 0..WIDE {
                later[i] = u.mul_add(moved[i], later[i]);
            }
        }
    }
}

/// Chooses the codes of a column and returns what they decode to.
#[inline(always)]
fn round_column<B: Codebook>(
    codebook: &B,
    weights: &[f64; WIDE],
    scales: &[Scale; WIDE],
    codes: &mut [u8; WIDE],
) -> ColumnStrip {
    let mut rounded = [0.0; WIDE];
    for i in 0..WIDE {
        let x = scaled(weights[i] as f32, scales[i].scale);
        let tag = f32::from(scales[i].tag);
        codes[i] = codebook.code(x, tag);
        rounded[i] = codebook.value(x, tag) * scales[i].scale;
    }
    rounded
}

/// Keeps a column in f16.
#[inline(always)]
fn keep_f16(weights: &[f64; WIDE], kept: &mut [f16; WIDE]) -> ColumnStrip {
    *kept = weights.map(|w| f16::from_f32(w as f32));
    kept.map(f16::to_f32)
}

/// The weights as f32.
#[inline(always)]
fn narrow(weights: &[f64; WIDE]) -> ColumnStrip {
    weights.map(|w| w as f32)
}
