//! How far measured losses add up: random assignments, predicted by the sum of their measured losses and audited.

use samp_abi::{Format, plan::OpKind};
use samp_kernels::random::SplitMix64;
use samp_passes::{FormatCost, WeightSensitivity, legal_ops};
use samp_runtime::Progress;

use super::measured::Measured;
use crate::quantize::{calibration_tokens::batches_with, error::QuantizeError, token_batch::TokenBatch};

/// Tokens that the weights of a sample are rounded under, at least so many.
const TOKENS: usize = 16_384;

/// One assignment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct AdditivitySample {
    /// The sum of the measured losses, nats per token.
    predicted: f64,
    /// What the audit found, nats per token.
    audited: f64,
}

impl Measured {
    /// Audits as many random assignments as were asked for, and says how their losses correlate with those predicted.
    pub(super) fn report_additivity(&mut self, progress: &dyn Progress) -> Result<(), QuantizeError> {
        let samples = self.additivity_samples(progress)?;
        if !samples.is_empty() {
            let (count, correlation) = (samples.len(), rank_correlation(&samples));
            progress.note(&format!(
                "rank correlation of predicted and audited losses over {count} assignments: {correlation:.3}"
            ));
        }
        Ok(())
    }

    /// Audits assignments drawn by the seed, rounded under some of the tokens. In each, every weight takes its first format
    /// with a probability of the assignment's own and any other otherwise, so that they range from cheap to dear; every other
    /// fused linear, by chance, is drawn member by member.
    fn additivity_samples(
        &mut self,
        progress: &dyn Progress,
    ) -> Result<Vec<AdditivitySample>, QuantizeError> {
        let (count, mut random) = (self.request.additivity_samples, SplitMix64::new(self.request.seed));
        let mut samples = vec![];
        let batches = batches_with(&self.batches, TOKENS, TokenBatch::tokens);
        // A target that cannot put results together splits no fused linear.
        let splits = legal_ops(self.model.options.target).contains(&OpKind::Concat);
        for index in 0..count {
            let mut draw = Draw { share: random.below(101), splits, random: &mut random };
            let weights = self.known.weights.iter().filter(|weight| !weight.formats.is_empty());
            let drawn: Vec<Drawn> = weights.flat_map(|weight| draw.weight(weight)).collect();
            let predicted = drawn.iter().map(|drawn| drawn.nats).sum();
            let formats: Vec<(String, Format)> = drawn.into_iter().map(|d| (d.key, d.format)).collect();
            let recipe = self.recipe_of(&formats, None);
            let stage = format!("rounding, trial {} of {count}", index + 1);
            let plan = self.round(&recipe, ["trial", &stage], batches, progress)?;
            let audited = self.audit(&plan, progress)?.overall.kl_nats;
            progress.note(&format!(
                "trial {} of {count}: predicted {predicted:.6}, audited {audited:.6} nats per token",
                index + 1
            ));
            samples.push(AdditivitySample { predicted, audited });
        }
        Ok(samples)
    }
}

/// A weight, or a member of one, with a format and what that was measured to lose.
#[derive(Debug, PartialEq)]
struct Drawn {
    key: String,
    format: Format,
    nats: f64,
}

/// One assignment that is being drawn.
struct Draw<'a> {
    /// Percentage of weights that take their first format.
    share: usize,
    /// Whether members may have formats of their own.
    splits: bool,
    random: &'a mut SplitMix64,
}

impl Draw<'_> {
    /// A weight, or each of its members.
    fn weight(&mut self, weight: &WeightSensitivity) -> Vec<Drawn> {
        let members = &weight.members;
        let known = !members.is_empty() && members.iter().all(|member| !member.formats.is_empty());
        if self.splits && known && self.random.below(2) == 0 {
            let mut drawn: Vec<Drawn> = vec![];
            for member in members {
                drawn.push(self.draw(&member.key, &member.formats));
            }
            // Members that agree stay one weight, which was measured as such.
            if drawn.iter().any(|member| member.format != drawn[0].format) {
                return drawn;
            }
            let fused = weight.formats.iter().filter(|cost| cost.format == drawn[0].format);
            return fused.map(|cost| Drawn::new(&weight.key, cost)).collect();
        }
        vec![self.draw(&weight.key, &weight.formats)]
    }

    fn draw(&mut self, key: &str, formats: &[FormatCost]) -> Drawn {
        let first = self.random.below(100) < self.share;
        Drawn::new(key, &formats[if first { 0 } else { self.random.below(formats.len()) }])
    }
}

impl Drawn {
    fn new(key: &str, cost: &FormatCost) -> Drawn {
        Drawn { key: key.into(), format: cost.format, nats: cost.nats }
    }
}

/// Spearman's rank correlation of predictions and audits; equal values share their mean rank. 1 of fewer than two.
fn rank_correlation(samples: &[AdditivitySample]) -> f64 {
    let predicted = ranks(&samples.iter().map(|s| s.predicted).collect::<Vec<_>>());
    let audited = ranks(&samples.iter().map(|s| s.audited).collect::<Vec<_>>());
    let mean = (samples.len() as f64 - 1.0) / 2.0;
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

    /// Members are drawn split and fused; fused they are the weight that was measured as one.
    #[test]
    fn members_are_drawn_split_where_the_target_can_hold_them() {
        let cost = |format, nats| FormatCost { format, nats, strata: vec![] };
        let costs = |scale: f64| vec![cost(Format::Nf4, 4.0 * scale), cost(Format::F16, scale)];
        let member = |key: &str| MemberSensitivity { key: key.into(), rows: 8, formats: costs(1.0) };
        let fused = WeightSensitivity {
            key: "qkv".into(),
            outliers: vec![],
            formats: costs(3.0),
            members: ["q", "k", "v"].map(member).into(),
        };
        let mut random = SplitMix64::new(3);
        let mut drawn = |splits| -> Vec<Vec<Drawn>> {
            let mut draw = Draw { share: 30, splits, random: &mut random };
            (0..200).map(|_| draw.weight(&fused)).collect()
        };
        assert!(drawn(false).iter().all(|drawn| drawn.len() == 1));
        let both = drawn(true);
        let split: Vec<_> = both.iter().filter(|drawn| drawn.len() == 3).collect();
        assert!(split.len() > 50 && split.len() < 150, "{}", split.len());
        for drawn in &both {
            let formats: Vec<Format> = drawn.iter().map(|member| member.format).collect();
            let agree = formats.iter().all(|&format| format == formats[0]);
            assert_eq!(agree, drawn.len() == 1, "{drawn:?}");
            assert!(drawn.len() == 3 || drawn[0].key == "qkv" && drawn[0].nats >= 3.0, "{drawn:?}");
        }
    }

    #[test]
    fn ranks_correlate() {
        let samples = |pairs: &[(f64, f64)]| -> Vec<AdditivitySample> {
            pairs.iter().map(|&(predicted, audited)| AdditivitySample { predicted, audited }).collect()
        };
        assert_eq!(rank_correlation(&samples(&[(1.0, 10.0), (2.0, 50.0), (3.0, 51.0)])), 1.0);
        assert_eq!(rank_correlation(&samples(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)])), -1.0);
        // By hand: ranks 0, 1.5, 1.5, 3 against 0, 2, 1, 3.
        let tied = rank_correlation(&samples(&[(1.0, 1.0), (2.0, 3.0), (2.0, 2.0), (3.0, 4.0)]));
        assert!((tied - 4.5 / (4.5f64 * 5.0).sqrt()).abs() < 1e-12, "{tied}");
        assert_eq!(rank_correlation(&[]), 1.0);
    }
}
