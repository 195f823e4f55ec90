//! The best scale of a block, group or channel: of some multiples of the one that just reaches the largest weight, that
//! with the least squared error, each column weighed by the energy of its input (the diagonal of the Hessian).
//!
//! A grid search over clipping ranges, as in AWQ (Lin et al., arXiv 2306.00978, section 3.2) and llama.cpp's
//! importance-weighted quantization.

use std::array::from_fn;

use super::codebook::{Codebook, ColumnStrip, Extent, Scale};
use super::matmul::WIDE;
use crate::simd::{Job, Lanes};

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
