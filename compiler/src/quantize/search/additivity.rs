//! How far measured losses add up: random assignments, predicted by the sum of their measured losses and audited.

use samp_abi::{Format, plan::OpKind};
use samp_kernels::random::SplitMix64;
use samp_passes::{FormatCost, WeightSensitivity, legal_ops};

use super::solve::Search;
use crate::quantize::{ProgramPair, at_least};

/// Tokens that a trial's weights are rounded under, at least so many.
const TOKENS: usize = 16_384;

/// One assignment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdditivitySample {
    /// The sum of the measured losses, nats per token.
    pub predicted: f64,
    /// What the audit found, nats per token.
    pub audited: f64,
}

impl Search<'_> {
    /// Audits `count` assignments drawn by `seed`, rounded under some of the tokens. In each, every weight takes its first
    /// format with a probability of the assignment's own and any other otherwise, so that they range from cheap to dear;
    /// every other fused linear, by chance, is drawn member by member.
    pub fn trials(
        &self,
        programs: &mut ProgramPair,
        count: usize,
        seed: u64,
    ) -> anyhow::Result<Vec<AdditivitySample>> {
        let mut random = SplitMix64::new(seed);
        let mut trials = vec![];
        let (batches, audit) = self.data;
        let tokens = at_least(batches, TOKENS, |batch| batch.token_ids.len());
        let search = Search { data: (&batches[..tokens], audit), ..*self };
        // A target that cannot put results together holds no fused linear apart.
        let parts = legal_ops(self.router.options.target).contains(&OpKind::Concat);
        for index in 0..count {
            let mut draw = Draw { share: random.below(101), parts, random: &mut random };
            let weights = self.known.weights.iter().filter(|weight| !weight.formats.is_empty());
            let drawn: Vec<Drawn> = weights.flat_map(|weight| draw.weight(weight)).collect();
            let predicted = drawn.iter().map(|drawn| drawn.nats).sum();
            let formats: Vec<(String, Format)> = drawn.into_iter().map(|d| (d.key, d.format)).collect();
            let recipe = self.recipe_of(&formats, None);
            let audited = search.audited(programs, &recipe, "trial")?.held.overall.kl_nats;
            (self.say)(&format!(
                "trial {} of {count}: predicted {predicted:.6}, audited {audited:.6} nats per token",
                index + 1
            ));
            trials.push(AdditivitySample { predicted, audited });
        }
        Ok(trials)
    }
}

/// A weight, or a member of one, with a format and what that was measured to lose.
#[derive(Debug, PartialEq)]
struct Drawn {
    key: String,
    format: Format,
    nats: f64,
}

/// One assignment under way.
struct Draw<'a> {
    /// Percentage of weights that take their first format.
    share: usize,
    /// Whether members may have formats of their own.
    parts: bool,
    random: &'a mut SplitMix64,
}

impl Draw<'_> {
    /// A weight as a whole, or each of its members.
    fn weight(&mut self, weight: &WeightSensitivity) -> Vec<Drawn> {
        let parts = &weight.members;
        let known = !parts.is_empty() && parts.iter().all(|part| !part.formats.is_empty());
        if self.parts && known && self.random.below(2) == 0 {
            let mut drawn: Vec<Drawn> = vec![];
            for part in parts {
                drawn.push(self.of(&part.key, &part.formats));
            }
            // Members that agree stay one weight, which was measured as such.
            if drawn.iter().any(|member| member.format != drawn[0].format) {
                return drawn;
            }
            let whole = weight.formats.iter().filter(|cost| cost.format == drawn[0].format);
            return whole.map(|cost| Drawn::of(&weight.key, cost)).collect();
        }
        vec![self.of(&weight.key, &weight.formats)]
    }

    fn of(&mut self, key: &str, formats: &[FormatCost]) -> Drawn {
        let first = self.random.below(100) < self.share;
        Drawn::of(key, &formats[if first { 0 } else { self.random.below(formats.len()) }])
    }
}

impl Drawn {
    fn of(key: &str, cost: &FormatCost) -> Drawn {
        Drawn { key: key.into(), format: cost.format, nats: cost.nats }
    }
}

/// Spearman's rank correlation of predictions and audits; equal values share their mean rank. 1 of fewer than two.
pub fn rank_correlation(trials: &[AdditivitySample]) -> f64 {
    let predicted = ranks(&trials.iter().map(|t| t.predicted).collect::<Vec<_>>());
    let audited = ranks(&trials.iter().map(|t| t.audited).collect::<Vec<_>>());
    let mean = (trials.len() as f64 - 1.0) / 2.0;
    let product =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| (x - mean) * (y - mean)).sum() };
    let scale = (product(&predicted, &predicted) * product(&audited, &audited)).sqrt();
    if scale > 0.0 { product(&predicted, &audited) / scale } else { 1.0 }
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |x: &f64| {
        let below = values.iter().filter(|y| *y < x).count();
        let equal = values.iter().filter(|y| *y == x).count();
        below as f64 + (equal as f64 - 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use samp_passes::MemberSensitivity;

    use super::*;

    /// Members are drawn apart and together; together they are the weight that was measured as one.
    #[test]
    fn members_are_drawn_apart_where_the_target_can_hold_them() {
        let cost = |format, nats| FormatCost { format, nats, strata: vec![] };
        let costs = |scale: f64| vec![cost(Format::Nf4, 4.0 * scale), cost(Format::F16, scale)];
        let part = |key: &str| MemberSensitivity { key: key.into(), rows: 8, formats: costs(1.0) };
        let fused = WeightSensitivity {
            key: "qkv".into(),
            outliers: vec![],
            formats: costs(3.0),
            members: ["q", "k", "v"].map(part).into(),
        };
        let mut random = SplitMix64::new(3);
        let mut drawn = |parts| -> Vec<Vec<Drawn>> {
            let mut draw = Draw { share: 30, parts, random: &mut random };
            (0..200).map(|_| draw.weight(&fused)).collect()
        };
        assert!(drawn(false).iter().all(|drawn| drawn.len() == 1));
        let both = drawn(true);
        let apart: Vec<_> = both.iter().filter(|drawn| drawn.len() == 3).collect();
        assert!(apart.len() > 50 && apart.len() < 150, "{}", apart.len());
        for drawn in &both {
            let formats: Vec<Format> = drawn.iter().map(|member| member.format).collect();
            let agree = formats.iter().all(|&format| format == formats[0]);
            assert_eq!(agree, drawn.len() == 1, "{drawn:?}");
            assert!(drawn.len() == 3 || drawn[0].key == "qkv" && drawn[0].nats >= 3.0, "{drawn:?}");
        }
    }

    #[test]
    fn ranks_correlate() {
        let trials = |pairs: &[(f64, f64)]| -> Vec<AdditivitySample> {
            pairs.iter().map(|&(predicted, audited)| AdditivitySample { predicted, audited }).collect()
        };
        assert_eq!(rank_correlation(&trials(&[(1.0, 10.0), (2.0, 50.0), (3.0, 51.0)])), 1.0);
        assert_eq!(rank_correlation(&trials(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)])), -1.0);
        // By hand: ranks 0, 1.5, 1.5, 3 against 0, 2, 1, 3.
        let tied = rank_correlation(&trials(&[(1.0, 1.0), (2.0, 3.0), (2.0, 2.0), (3.0, 4.0)]));
        assert!((tied - 4.5 / (4.5f64 * 5.0).sqrt()).abs() < 1e-12, "{tied}");
        assert_eq!(rank_correlation(&[]), 1.0);
    }
}
