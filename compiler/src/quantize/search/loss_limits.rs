//! How much perplexity may grow: what that allows a prediction, and whether an audit shows that it is kept.

use std::collections::BTreeMap;

use samp_ir::Diagnostic;
use samp_passes::Constraints;

use crate::certificate::{HeldOut, Round};
use crate::error_code;

/// Most growth of perplexity, such as 0.005, with 95 % confidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossLimits {
    /// Overall, and in every stratum that has no limit of its own.
    pub overall: Option<f64>,
    /// In strata of their own.
    pub strata: BTreeMap<String, f64>,
}

impl LossLimits {
    fn of(&self, stratum: &str) -> Option<f64> {
        self.strata.get(stratum).copied().or(self.overall)
    }

    /// Refuses limits on strata that no held-out record is of: nothing could show that they hold.
    pub(super) fn check(&self, held_out: &[String]) -> Result<(), Diagnostic> {
        let Some(name) = self.strata.keys().find(|name| !held_out.contains(name)) else { return Ok(()) };
        let mut known = held_out.to_vec();
        known.sort();
        known.dedup();
        let message = format!("--max-loss: expected a stratum of the held-out records, found `{name}`");
        Err(Diagnostic::bad_input(error_code::UNKNOWN_STRATUM, message)
            .note(format!("there are {}", known.join(", "))))
    }

    /// How many times the allowed loss the audit found, where more than once: overall or in any stratum.
    pub(super) fn excess(&self, held: &HeldOut) -> Option<f64> {
        let strata = held.strata.iter().map(|(name, quality)| (self.of(name), quality));
        let all = strata.chain([(self.overall, &held.overall)]);
        let excess = all.filter_map(|(growth, quality)| {
            Some(quality.perplexity_ratio_at_most.ln() / (1.0 + growth?).ln())
        });
        let worst = excess.fold(0.0, f64::max);
        (worst > 1.0).then_some(worst)
    }

    /// Why there is no plan after these rounds, the last of which was found to be as `held` says.
    pub(super) fn refusal(&self, rounds: &[Round], held: &HeldOut) -> Diagnostic {
        let percent = |ratio: f64| 100.0 * (ratio - 1.0);
        let message = format!(
            "--max-loss {self} cannot be shown to hold: after {} attempts the perplexity grows by at most \
             {:.3} % overall (one-sided 95 %)",
            rounds.len(),
            percent(held.overall.perplexity_ratio_at_most),
        );
        let strata = held.strata.iter().map(|(name, q)| {
            let (grown, most) = (percent(q.perplexity_ratio), percent(q.perplexity_ratio_at_most));
            let allowed = self.of(name).map_or(String::new(), |growth| format!(" of {}", percentage(growth)));
            format!("{name}: {grown:.3} %, at most {most:.3} %{allowed}, {} records", q.records)
        });
        strata.fold(Diagnostic::bad_input(error_code::MISSED_LIMITS, message), Diagnostic::note).hint(
            "allow a larger --max-loss (every goal but quality keeps 1 % unless told otherwise), more bytes, or give \
             more held-out records (their number sets the interval)",
        )
    }
}

impl std::fmt::Display for LossLimits {
    /// As on the command line: `0.5 %, code=0.3 %`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let overall = self.overall.map(percentage);
        let strata = self.strata.iter().map(|(name, growth)| format!("{name}={}", percentage(*growth)));
        f.write_str(&overall.into_iter().chain(strata).collect::<Vec<_>>().join(", "))
    }
}

/// The losses that a decision predicts, nats per token.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Predicted {
    pub overall: f64,
    /// Of the strata that were measured.
    pub strata: BTreeMap<String, f64>,
}

impl Predicted {
    /// How many times the predicted loss of each stratum the audit found.
    pub fn factors(&self, held: &HeldOut) -> BTreeMap<String, f64> {
        let factor = |(name, predicted): (&String, &f64)| {
            let found = held.strata.get(name)?.kl_nats;
            (*predicted > 0.0).then(|| (name.clone(), found / predicted))
        };
        self.strata.iter().filter_map(factor).collect()
    }
}

/// The most that may be predicted of each loss: what is promised, until audits find that predictions fall short.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LossBudget {
    overall: f64,
    /// Of the strata that were measured.
    strata: BTreeMap<String, f64>,
}

impl LossBudget {
    /// As promised, for the strata that were measured.
    pub fn of(promise: &LossLimits, measured: &[String]) -> LossBudget {
        let nats = |growth: Option<f64>| growth.map_or(f64::INFINITY, f64::ln_1p);
        let strata = measured.iter().map(|name| (name.clone(), nats(promise.of(name)))).collect();
        LossBudget { overall: nats(promise.overall), strata }
    }

    /// Adds the ceilings to what is demanded.
    pub fn limit(&self, demands: &mut Constraints) {
        if self.overall.is_finite() {
            demands.nats = Some(demands.nats.map_or(self.overall, |most| most.min(self.overall)));
        }
        for (name, nats) in self.strata.iter().filter(|(_, nats)| nats.is_finite()) {
            let most = demands.stratum_nats.entry(name.clone()).or_insert(f64::INFINITY);
            *most = most.min(*nats);
        }
    }

    /// Lowers the ceilings after the audit of a decision that missed its promise, each by how many times its own predicted
    /// loss was found; where the promise is kept, to where it just would be. Says what was missed. `attempts` audits were
    /// made: where one step did not help, losses are not in proportion, and the next steps are longer.
    pub fn lower(
        &mut self,
        promise: &LossLimits,
        predicted: &Predicted,
        held: &HeldOut,
        attempts: usize,
    ) -> String {
        let mut missed = vec![];
        let strata = held.strata.iter().map(|(name, quality)| (Some(name), quality));
        for (name, quality) in strata.chain([(None, &held.overall)]) {
            let growth = name.map_or(promise.overall, |name| promise.of(name));
            let (Some(growth), found) = (growth, quality.perplexity_ratio_at_most.ln()) else { continue };
            let excess = found / growth.ln_1p();
            let known = name.and_then(|name| Some((predicted.strata.get(name)?, self.strata.get_mut(name)?)));
            // What calibration did not see can be lowered with all the rest alone.
            let other = known.is_none() && name.is_some();
            let (nats, ceiling) = known.unwrap_or((&predicted.overall, &mut self.overall));
            if excess > 1.0 {
                *ceiling = ceiling.min(nats / (1.05 * excess).powi(attempts as i32));
                missed.push(format!(
                    "{excess:.2} times the loss allowed {} where {:.2} times was predicted",
                    name.map_or("overall".into(), |name| format!("in {name}")),
                    nats / growth.ln_1p()
                ));
            } else if excess > 0.0 && !other {
                // A little above what was predicted, or rounding could rule out the very decision.
                *ceiling = ceiling.min((nats / excess).max(nats * (1.0 + 1e-6)));
            }
        }
        missed.join(", ")
    }
}

/// In single precision, whose shortest digits are those that were typed.
fn percentage(growth: f64) -> String {
    format!("{} %", (100.0 * growth) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::StratumQuality;

    fn promise(overall: Option<f64>, code: f64) -> LossLimits {
        LossLimits { overall, strata: BTreeMap::from([("code".into(), code)]) }
    }

    fn held(overall: f64, code: f64, prose: f64) -> HeldOut {
        let quality = |growth: f64| StratumQuality {
            records: 1,
            tokens: 1,
            kl_nats: growth,
            kl_nats_at_most: growth,
            perplexity_ratio: 1.0 + growth,
            perplexity_ratio_at_most: 1.0 + growth,
        };
        let strata = [("code".into(), quality(code)), ("prose".into(), quality(prose))];
        HeldOut { fingerprint: String::new(), overall: quality(overall), strata: strata.into() }
    }

    #[test]
    fn a_stratum_with_a_limit_of_its_own_is_held_to_that() {
        let strict = promise(Some(0.01), 0.003);
        assert_eq!(strict.excess(&held(0.005, 0.002, 0.009)), None);
        let excess = strict.excess(&held(0.005, 0.006, 0.009)).unwrap();
        assert!((excess - 1.006f64.ln() / 1.003f64.ln()).abs() < 1e-12, "{excess}");
        assert!(strict.excess(&held(0.005, 0.002, 0.02)).is_some(), "others are held to the overall limit");
        assert_eq!(promise(Some(0.01), 0.05).excess(&held(0.01, 0.04, 0.01)), None, "wider is allowed, too");
        assert_eq!(promise(None, 0.003).excess(&held(0.5, 0.002, 0.5)), None);
    }

    #[test]
    fn predictions_are_limited_by_stratum() {
        let limited = |promise: LossLimits, measured: &[&str]| {
            let measured: Vec<String> = measured.iter().map(|name| (*name).into()).collect();
            let mut demands = Constraints::default();
            LossBudget::of(&promise, &measured).limit(&mut demands);
            demands
        };
        let demands = limited(promise(Some(0.01), 0.003), &["code", "json"]);
        assert_eq!(demands.nats, Some(0.01f64.ln_1p()));
        assert_eq!(demands.stratum_nats["code"], 0.003f64.ln_1p());
        assert_eq!(demands.stratum_nats["json"], 0.01f64.ln_1p());
        let demands = limited(promise(None, 0.003), &["code", "json"]);
        assert_eq!((demands.nats, demands.stratum_nats.len()), (None, 1));
    }

    fn predicted(overall: f64, strata: &[(&str, f64)]) -> Predicted {
        Predicted { overall, strata: strata.iter().map(|&(name, nats)| (name.into(), nats)).collect() }
    }

    /// Code was missed by half and prose kept with room for twice what was found: each has its own ceiling.
    #[test]
    fn strata_are_lowered_by_their_own_factors() {
        let promise = promise(Some(0.01), 0.01);
        let mut ceilings = LossBudget::of(&promise, &["code".into(), "prose".into()]);
        let audit = held(0.008, 0.015, 0.005);
        let predictions = predicted(0.004, &[("code", 0.006), ("prose", 0.002)]);
        let missed = ceilings.lower(&promise, &predictions, &audit, 1);
        assert_eq!(missed, "1.50 times the loss allowed in code where 0.60 times was predicted");
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
        let ratio = |growth: f64| growth.ln_1p() / 0.01f64.ln_1p();
        assert!(near(ceilings.strata["code"], 0.006 / (1.05 * ratio(0.015))), "{ceilings:?}");
        assert!(near(ceilings.strata["prose"], 0.002 / ratio(0.005)), "{ceilings:?}");
        assert!(near(ceilings.overall, 0.004 / ratio(0.008)), "{ceilings:?}");
        assert_eq!(predictions.factors(&audit)["code"], 0.015 / 0.006);
        // Nothing is ever allowed more again, and later steps are longer.
        let before = ceilings.clone();
        ceilings.lower(&promise, &predicted(0.003, &[("code", 0.004), ("prose", 0.003)]), &audit, 2);
        assert!(near(ceilings.strata["code"], 0.004 / (1.05 * ratio(0.015)).powi(2)), "{ceilings:?}");
        assert_eq!(ceilings.strata["prose"], before.strata["prose"]);
    }

    #[test]
    fn a_stratum_that_was_not_measured_lowers_the_rest() {
        let promise = promise(None, 0.01);
        let mut ceilings = LossBudget::of(&promise, &["prose".into()]);
        ceilings.lower(&promise, &predicted(0.004, &[("prose", 0.002)]), &held(0.008, 0.02, 0.005), 1);
        assert!(ceilings.overall < 0.0021 && ceilings.strata["prose"] == f64::INFINITY, "{ceilings:?}");
    }

    #[test]
    fn a_limit_on_an_unknown_stratum_names_those_that_there_are() {
        let held_out = ["prose", "json", "prose"].map(String::from);
        let refused = promise(None, 0.003).check(&held_out).unwrap_err().to_string();
        assert!(refused.contains("`code`") && refused.contains("json, prose"), "{refused}");
        assert_eq!(LossLimits::default().check(&held_out), Ok(()));
    }
}
