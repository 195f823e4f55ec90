//! The best scale of a block, group or channel: of some multiples of the one that just reaches the largest weight, that
//! with the least squared error, each column weighed by the energy of its input (the diagonal of the second moment).
//!
//! A grid search over clipping ranges, as in AWQ (Lin et al., arXiv 2306.00978, section 3.2) and llama.cpp's
//! importance-weighted quantization.

use std::array::from_fn;

use super::codebook::{Codebook, Extent, Lanes, Scale};
use super::columns::Columns;
use super::matmul::WIDE;
use super::{Rounding, round};
use crate::encoded::Encoded;
use crate::format::{EncodeError, RowSource};
use crate::simd::{Job, Lanes as Vectors};

/// Multiples of the largest magnitude that are tried as the reach of a scale: `points` from `from` to `to`, equally far
/// apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// The least.
    pub from: f32,
    /// The greatest.
    pub to: f32,
    /// How many; 1 tries only `from`.
    pub points: usize,
}

impl Search {
    /// The largest magnitude as it is.
    pub const NONE: Search = Search { from: 1.0, to: 1.0, points: 1 };

    /// The multiples, ascending; those of the other sign after them.
    pub(super) fn factors(self, signed: bool) -> Vec<f32> {
        let step = (self.to - self.from) / (self.points.max(2) - 1) as f32;
        let factors: Vec<f32> = (0..self.points.max(1)).map(|i| self.from + step * i as f32).collect();
        let signs: &[f32] = if signed && self != Search::NONE { &[1.0, -1.0] } else { &[1.0] };
        signs.iter().flat_map(|sign| factors.iter().map(move |f| sign * f)).collect()
    }
}

impl Default for Search {
    /// 0.70 to 1.06 in steps of 0.02.
    fn default() -> Search {
        Search { from: 0.70, to: 1.06, points: 19 }
    }
}

/// Rounds every weight to the nearest value under the best scales found by the search, with `energy` (the diagonal of the
/// second moment, one for each column) as weight of the errors.
///
/// Scales are judged as they are stored, and codes chosen under the stored scale: f16 of int4 and the 8-bit absmax code of
/// nf4 and fp4 cost less than under [`crate::format::encode`], whose nf4 and fp4 must equal another library's.
/// Panics if `energy` is empty; its length is the number of columns.
pub fn nearest(
    source: &dyn RowSource,
    rows: usize,
    energy: &[f64],
    rounding: Rounding,
) -> Result<Encoded, EncodeError> {
    let columns = Columns::new((0..energy.len()).collect(), energy, &rounding)?;
    Ok(round::round(source, rows, (&columns, None), &rounding)?.encoded)
}

/// Finds the scales of a block in 16 rows.
pub(super) struct BestScales<'a, B> {
    pub book: &'a B,
    /// The block's weights, by column.
    pub x: &'a [Lanes],
    /// How much each column counts.
    pub importance: &'a [f32],
    pub factors: &'a [f32],
    /// The block's place in each row.
    pub places: [usize; WIDE],
}

impl<B: Codebook> Job for BestScales<'_, B> {
    type Output = [Scale; WIDE];

    #[inline(always)]
    fn run<V: Vectors>(self, _: V) -> [Scale; WIDE] {
        let extents = extents(self.x);
        let scales = |factor| from_fn(|i| self.book.scale(extents[i], factor, self.places[i]));
        let mut best: [Scale; WIDE] = scales(1.0);
        if let [_] = self.factors {
            return best;
        }
        let mut least = [f32::INFINITY; WIDE];
        for &factor in self.factors {
            let candidates: [Scale; WIDE] = scales(factor);
            let errors = errors(self.book, self.x, self.importance, (&candidates, &extents));
            for i in 0..WIDE {
                if errors[i] < least[i] {
                    (best[i], least[i]) = (candidates[i], errors[i]);
                }
            }
        }
        best
    }
}

/// The least and greatest weight of each row.
#[inline(always)]
pub(super) fn extents(x: &[Lanes]) -> [Extent; WIDE] {
    let (mut low, mut high) = ([0.0_f32; WIDE], [0.0_f32; WIDE]);
    for x in x {
        for i in 0..WIDE {
            low[i] = low[i].min(x[i]);
            high[i] = high[i].max(x[i]);
        }
    }
    from_fn(|i| Extent { low: low[i], high: high[i] })
}

/// The squared error of each row under `scales`, in units of its absmax squared.
#[inline(always)]
pub(super) fn errors<B: Codebook>(
    book: &B,
    x: &[Lanes],
    importance: &[f32],
    (scales, extents): (&[Scale; WIDE], &[Extent; WIDE]),
) -> Lanes {
    // Products stay finite for the smallest weights too.
    let inverse = |x: f32| if x == 0.0 { 0.0 } else { (1.0 / x).clamp(f32::MIN, f32::MAX) };
    let inverses: Lanes = from_fn(|i| inverse(scales[i].scale));
    let units: Lanes = from_fn(|i| inverse(extents[i].absmax()));
    let tags: Lanes = from_fn(|i| f32::from(scales[i].tag));
    let steps: Lanes = from_fn(|i| scales[i].scale);
    let mut errors = [0.0; WIDE];
    for (x, weight) in x.iter().zip(importance) {
        for i in 0..WIDE {
            let error = (x[i] - book.value(x[i] * inverses[i], tags[i]) * steps[i]) * units[i];
            errors[i] += error * error * weight;
        }
    }
    errors
}
