//! Rounding column after column while the columns still to come make up for the errors (GPTQ: Frantar et al.,
//! arXiv 2210.17323).
//!
//! With `H = U D Uᵀ` the output error is `tr((W − Ŵ) H (W − Ŵ)ᵀ) = Σ_k D_k ‖w'_k − ŵ_k‖²` where
//! `w'_k = w_k + Σ_{j<k} (w_j − ŵ_j) U_jk`. So each column is corrected by all errors before it, then rounded to the
//! nearest value. Sixteen rows are rounded side by side; corrections from earlier lazy batches of 128 columns are matrix
//! products, those within a batch are made column by column.

use half::f16;

use super::codebook::{Codebook, Lanes, Scale, scaled};
use super::columns::{Columns, LAZY};
use super::hessian::stride;
use super::matmul::{DEPTH, TALL, Tile, WIDE, add_products};
use super::refine::BestScales;
use super::{CholeskyFactor, Rounding, round};
use crate::encoded::Encoded;
use crate::format::{EncodeError, RowSource};
use crate::simd::{self, Job, Lanes as Vectors, Width};

/// A rounded tensor.
#[derive(Clone, Debug)]
pub struct Compensated {
    /// The tensor, row-major.
    pub encoded: Encoded,
    /// Its output error `tr((W − Ŵ) H (W − Ŵ)ᵀ)`, damping not counted; 0 for plain floats.
    pub error: f64,
}

/// Rounds `rows` rows of `source` so that the output error under the second moment that `factor` was made of is small.
///
/// Scales of blocks and groups are found by the search when their first column is reached, on the weights as corrected
/// by then, if the order keeps the blocks together ([`super::Order`]); scales of channels and of the tensor are found
/// first. nf4 and fp4 search among the absmax values that can be stored: offset and group scales are fixed beforehand
/// from the original weights with some room, so that the scale that errors are made up for is the one decoded.
///
/// Takes the result, a byte for each weight, and for each thread 10 bytes for each of 64 rows' weights.
pub fn gptq(
    source: &dyn RowSource,
    rows: usize,
    factor: &CholeskyFactor,
    rounding: Rounding,
) -> Result<Compensated, EncodeError> {
    let columns = Columns::of_factor(factor, &rounding)?;
    round::round(source, rows, (&columns, Some(factor)), &rounding)
}

/// What all strips of a tensor have in common.
pub(super) struct Shared<'a, B> {
    pub book: &'a B,
    pub columns: &'a Columns,
    pub factor: Option<&'a CholeskyFactor>,
    /// Multiples of absmax to try.
    pub factors: Vec<f32>,
    /// Rows of the tensor.
    pub rows: usize,
}

/// Sixteen rows; those beyond the end of the tensor are zero.
pub(super) struct Strip {
    /// The first row.
    first: usize,
    /// By place: the weight until it is rounded, then its error.
    errors: Vec<[f64; WIDE]>,
    /// By block of columns.
    pub scales: Vec<[Scale; WIDE]>,
    /// By column.
    pub codes: Vec<[u8; WIDE]>,
    /// By outlier column.
    pub kept: Vec<[f16; WIDE]>,
    /// Output error so far.
    pub losses: [f64; WIDE],
}

impl Strip {
    /// Takes rows `first..`, row-major.
    pub fn new<B: Codebook>(shared: &Shared<'_, B>, first: usize, rows: &[f32]) -> Strip {
        let columns = shared.columns;
        let cols = columns.order.len();
        let weight = |column: &usize| -> [f64; WIDE] {
            std::array::from_fn(|i| rows.get(i * cols + column).map_or(0.0, |&w| f64::from(w)))
        };
        let mut strip = Strip {
            first,
            errors: columns.order.iter().map(weight).collect(),
            scales: vec![[Scale::default(); WIDE]; columns.blocks()],
            codes: vec![[0; WIDE]; cols],
            kept: vec![[f16::ZERO; WIDE]; columns.kept.iter().flatten().count()],
            losses: [0.0; WIDE],
        };
        if !columns.lazily {
            for block in 0..columns.blocks() {
                let mut places = columns.places[block * columns.block..][..columns.block].to_vec();
                places.retain(|&place| columns.kept[place].is_none());
                let x: Vec<Lanes> = places.iter().map(|&place| narrow(&strip.errors[place])).collect();
                let importance: Vec<f32> = places.iter().map(|&p| columns.importance[p]).collect();
                strip.scales[block] = shared.scales(first, block, &x, &importance);
            }
        }
        strip
    }
}

impl<B: Codebook> Shared<'_, B> {
    /// Rounds all columns of some strips.
    pub fn round(&self, strips: &mut [Strip]) {
        let cols = self.columns.order.len();
        let mut panel = Vec::new();
        let mut inner = Vec::new();
        let mut batches = vec![[[0.0; WIDE]; LAZY]; strips.len()];
        for start in (0..cols).step_by(LAZY) {
            let width = LAZY.min(cols - start);
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
                let batch = &mut batch[..width];
                simd::run(Width::detect(), Batch { shared: self, strip, start, batch, inner: &inner });
            }
        }
    }

    /// The scales of a block whose weights are `x`, by column.
    #[inline(always)]
    fn scales(&self, first: usize, block: usize, x: &[Lanes], importance: &[f32]) -> [Scale; WIDE] {
        // Rows beyond the end take the last one's place.
        let row = |i: usize| (first + i).min(self.rows - 1);
        let places = std::array::from_fn(|i| row(i) * self.columns.blocks() + block);
        let job = BestScales { book: self.book, x, importance, factors: &self.factors, places };
        simd::run(Width::detect(), job)
    }
}

/// Packs rows `depths` of the factor, 128 columns from `start` on, as panels of eight columns.
fn pack(factor: &CholeskyFactor, depths: std::ops::Range<usize>, start: usize, panel: &mut Vec<[f64; TALL]>) {
    let stride = stride(factor.cols);
    panel.clear();
    for at in (start..stride.min(start + LAZY)).step_by(TALL) {
        let line = |k: usize| factor.upper[k * stride + at..].first_chunk::<TALL>().copied();
        panel.extend(depths.clone().filter_map(line));
    }
}

/// The columns from `start` on, corrected by the errors before `start`, to be rounded one by one.
struct Batch<'a, B> {
    shared: &'a Shared<'a, B>,
    strip: &'a mut Strip,
    start: usize,
    batch: &'a mut [[f64; WIDE]],
    /// The factor's rows and columns of the batch; empty without factor.
    inner: &'a [f64],
}

impl<B: Codebook> Job for Batch<'_, B> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) {
        let Batch { shared, strip, start, batch, inner } = self;
        let (columns, width) = (shared.columns, batch.len());
        for at in 0..width {
            let place = start + at;
            let column = columns.order[place];
            let block = column / columns.block;
            if columns.lazily && place.is_multiple_of(columns.block) {
                let mut x = [[0.0; WIDE]; LAZY];
                let x = &mut x[..columns.block];
                x.copy_from_slice(&batch[at..][..columns.block]);
                if shared.factor.is_some() {
                    settle(x, &strip.errors[place..], (inner, width, at));
                }
                let x: [Lanes; LAZY] = std::array::from_fn(|k| x.get(k).map_or([0.0; WIDE], narrow));
                let x = &x[..columns.block];
                let importance = &columns.importance[place..][..columns.block];
                strip.scales[block] = shared.scales(strip.first, block, x, importance);
            }
            let weights = batch[at];
            let rounded = match columns.kept[place] {
                None => choose(shared.book, &weights, &strip.scales[block], &mut strip.codes[column]),
                Some(slot) => keep(&weights, &mut strip.kept[slot]),
            };
            let errors = &mut strip.errors[place];
            for i in 0..WIDE {
                errors[i] -= f64::from(rounded[i]);
            }
            let Some(factor) = shared.factor else { continue };
            let (pivot, added) = (factor.pivots[place], factor.added[place]);
            for i in 0..WIDE {
                let short = weights[i] - f64::from(rounded[i]);
                strip.losses[i] += pivot * short * short - added * errors[i] * errors[i];
            }
            let corrections = &inner[at * width..][at + 1..width];
            for (later, u) in batch[at + 1..].iter_mut().zip(corrections) {
                for i in 0..WIDE {
                    later[i] = u.mul_add(errors[i], later[i]);
                }
            }
        }
    }
}

/// Moves the corrected weights of a block to where they will be if nothing more is rounded: with the errors so far, each
/// column's own correction is an error that columns after it are corrected by. `weights` are the original ones; the
/// block begins at `at` of a batch of `width` columns whose part of the factor is `inner`.
#[inline(always)]
fn settle(x: &mut [[f64; WIDE]], weights: &[[f64; WIDE]], (inner, width, at): (&[f64], usize, usize)) {
    for k in 0..x.len() {
        let (known, later) = x.split_at_mut(k + 1);
        let moved: [f64; WIDE] = std::array::from_fn(|i| weights[k][i] - known[k][i]);
        let corrections = &inner[(at + k) * width + at..][k + 1..];
        for (later, u) in later.iter_mut().zip(corrections) {
            for i in 0..WIDE {
                later[i] = u.mul_add(moved[i], later[i]);
            }
        }
    }
}

/// Chooses the codes of a column and returns what they decode to.
#[inline(always)]
fn choose<B: Codebook>(
    book: &B,
    weights: &[f64; WIDE],
    scales: &[Scale; WIDE],
    codes: &mut [u8; WIDE],
) -> Lanes {
    let mut rounded = [0.0; WIDE];
    for i in 0..WIDE {
        let x = scaled(weights[i] as f32, scales[i].scale);
        let tag = f32::from(scales[i].tag);
        codes[i] = book.code(x, tag);
        rounded[i] = book.value(x, tag) * scales[i].scale;
    }
    rounded
}

/// Keeps a column in f16.
#[inline(always)]
fn keep(weights: &[f64; WIDE], kept: &mut [f16; WIDE]) -> Lanes {
    *kept = weights.map(|w| f16::from_f32(w as f32));
    kept.map(f16::to_f32)
}

/// The weights as f32.
#[inline(always)]
fn narrow(weights: &[f64; WIDE]) -> Lanes {
    weights.map(|w| w as f32)
}
