//! Which multiples of the largest magnitude are tried as the reach of a scale.

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
