//! The best scale of a block, group or channel: of some multiples of the one that just reaches the largest weight, that
//! with the least squared error, each column weighed by the energy of its input (the diagonal of the Hessian).
//!
//! A grid search over clipping ranges, as in AWQ (Lin et al., arXiv 2306.00978, section 3.2) and llama.cpp's
//! importance-weighted quantization.

use std::array::from_fn;

use super::codebook::{Codebook, ColumnStrip, Extent, Scale};
use super::matmul::WIDE;
use crate::simd::{Job, Lanes};

/// Multiples of the largest magnitude that are tried as the reach of a scale: `points` from `from` to `to`, equally far
/// apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleSearch {
    /// The least multiple.
    pub from: f32,
    /// The greatest multiple.
    pub to: f32,
    /// How many; 1 tries only `from`.
    pub points: usize,
}

impl ScaleSearch {
    /// The largest magnitude as it is.
    pub const NONE: ScaleSearch = ScaleSearch { from: 1.0, to: 1.0, points: 1 };

    /// The multiples, ascending; those of the other sign after them.
    pub(super) fn multiples(self, signed: bool) -> Vec<f32> {
        let step = (self.to - self.from) / (self.points.max(2) - 1) as f32;
        let multiples: Vec<f32> = (0..self.points.max(1)).map(|i| self.from + step * i as f32).collect();
        let signs: &[f32] = if signed && self != ScaleSearch::NONE { &[1.0, -1.0] } else { &[1.0] };
        signs.iter().flat_map(|sign| multiples.iter().map(move |m| sign * m)).collect()
    }
}

impl Default for ScaleSearch {
    /// 0.70 to 1.06 in steps of 0.02.
    fn default() -> ScaleSearch {
        ScaleSearch { from: 0.70, to: 1.06, points: 19 }
    }
}

/// Finds the scales of a block in 16 rows.
pub(super) struct BestScales<'a, B> {
    pub codebook: &'a B,
    /// The block's weights, by column.
    pub x: &'a [ColumnStrip],
    /// How much each column counts.
    pub importance: &'a [f32],
    /// Multiples of the extent to try.
    pub multiples: &'a [f32],
    /// The index of the block in the tensor, for each row.
    pub blocks: [usize; WIDE],
}

impl<B: Codebook> Job for BestScales<'_, B> {
    type Output = [Scale; WIDE];

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> [Scale; WIDE] {
        let extents = extents(self.x);
        let scales = |multiple| from_fn(|i| self.codebook.scale(extents[i], multiple, self.blocks[i]));
        let mut best: [Scale; WIDE] = scales(1.0);
        if let [_] = self.multiples {
            return best;
        }
        let mut least = [f32::INFINITY; WIDE];
        for &multiple in self.multiples {
            let candidates: [Scale; WIDE] = scales(multiple);
            let errors = errors(self.codebook, self.x, self.importance, &candidates, &extents);
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
fn extents(x: &[ColumnStrip]) -> [Extent; WIDE] {
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
    codebook: &B,
    x: &[ColumnStrip],
    importance: &[f32],
    scales: &[Scale; WIDE],
    extents: &[Extent; WIDE],
) -> ColumnStrip {
    // Products stay finite for the smallest weights too.
    let inverse = |x: f32| if x == 0.0 { 0.0 } else { (1.0 / x).clamp(f32::MIN, f32::MAX) };
    let inverses: ColumnStrip = from_fn(|i| inverse(scales[i].scale));
    let units: ColumnStrip = from_fn(|i| inverse(extents[i].absmax()));
    let tags: ColumnStrip = from_fn(|i| f32::from(scales[i].tag));
    let steps: ColumnStrip = from_fn(|i| scales[i].scale);
    let mut errors = [0.0; WIDE];
    for (x, weight) in x.iter().zip(importance) {
        for i in 0..WIDE {
            let error = (x[i] - codebook.value(x[i] * inverses[i], tags[i]) * steps[i]) * units[i];
            errors[i] += error * error * weight;
        }
    }
    errors
}
