//! Whether members of a fused linear may share what a format keeps once for a whole tensor.

use std::collections::BTreeMap;

use samp_abi::{ABSMAX_GROUP, Format};

/// How many times as large as those of another member the block maxima of one may be. Beyond, an 8-bit code of what lies below
/// the mean of all is too coarse for the smaller one's: at 8 times divergence grew by 5 %, at 100 by a factor of three.
const APART: f64 = 4.0;

/// The block maxima of weights, by their names in the checkpoint.
#[derive(Clone, Debug, Default)]
pub struct MemberScales(BTreeMap<String, MemberScale>);

/// The block maxima of one weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemberScale {
    /// Their mean, or about that.
    pub mean: f64,
    /// How many there are, where their codes and the mean are kept as another tool stored them.
    pub kept_blocks: Option<u64>,
}

impl FromIterator<(String, MemberScale)> for MemberScales {
    fn from_iter<I: IntoIterator<Item = (String, MemberScale)>>(scales: I) -> MemberScales {
        MemberScales(scales.into_iter().collect())
    }
}

impl MemberScales {
    /// Whether the weights `sources`, all in `format`, need a tensor each: one mean is subtracted from the block maxima of a tensor
    /// in nf4 or fp4, and groups of their codes share a scale. Weights of which nothing is known do not.
    pub fn need_own(&self, sources: &[&str], format: Format) -> bool {
        let scales: Vec<MemberScale> =
            sources.iter().filter_map(|source| self.0.get(*source).copied()).collect();
        if !matches!(format, Format::Nf4 | Format::Fp4) || scales.len() != sources.len() {
            return false;
        }
        let means = || scales.iter().map(|scale| scale.mean);
        if scales.iter().any(|scale| scale.kept_blocks.is_some()) {
            let (_, earlier) = scales.split_last().expect("a linear has a member");
            let ends_a_group =
                |scale: &MemberScale| scale.kept_blocks.is_some_and(|n| n.is_multiple_of(ABSMAX_GROUP));
            return means().any(|mean| mean != scales[0].mean) || !earlier.iter().all(ends_a_group);
        }
        means().fold(0.0, f64::max) > APART * means().fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need_own(scales: &[(f64, Option<u64>)], format: Format) -> bool {
        let names: Vec<String> = (0..scales.len()).map(|index| index.to_string()).collect();
        let named = names.iter().cloned().zip(scales);
        let all: MemberScales =
            named.map(|(name, &(mean, kept_blocks))| (name, MemberScale { mean, kept_blocks })).collect();
        all.need_own(&names.iter().map(String::as_str).collect::<Vec<_>>(), format)
    }

    #[test]
    fn members_far_apart_need_their_own() {
        assert!(!need_own(&[(1.0, None), (4.0, None)], Format::Nf4));
        assert!(need_own(&[(1.0, None), (0.5, None), (2.5, None)], Format::Nf4));
        assert!(need_own(&[(0.0, None), (1.0, None)], Format::Fp4));
        assert!(!need_own(&[(0.0, None), (1.0, None)], Format::INT8));
    }

    #[test]
    fn what_is_kept_shares_only_what_is_equal() {
        let group = Some(ABSMAX_GROUP);
        assert!(!need_own(&[(1.0, group), (1.0, Some(3))], Format::Nf4));
        assert!(need_own(&[(1.0, Some(3)), (1.0, group)], Format::Nf4));
        assert!(need_own(&[(1.0, group), (1.5, group)], Format::Nf4));
        assert!(need_own(&[(1.0, None), (1.0, group)], Format::Nf4));
    }

    #[test]
    fn of_unknown_weights_nothing_is_said() {
        assert!(!MemberScales::default().need_own(&["a", "b"], Format::Nf4));
    }
}
