//! What the loss limits allow a prediction: all that they allow, until audits find that predictions fall short.

use std::collections::BTreeMap;

use samp_passes::Constraints;

use super::loss_limits::LossLimits;
use crate::certificate::HeldOut;

/// The losses that a decision predicts, nats per token.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Predicted {
    pub overall: f64,
    /// Of the strata that were measured.
    pub strata: BTreeMap<String, f64>,
}

impl Predicted {
    /// How many times the predicted loss of each stratum the audit found.
    pub(super) fn factors(&self, audited: &HeldOut) -> BTreeMap<String, f64> {
        let factor = |(name, predicted): (&String, &f64)| {
            let found = audited.strata.get(name)?.kl_nats;
            (*predicted > 0.0).then(|| (name.clone(), found / predicted))
        };
        self.strata.iter().filter_map(factor).collect()
    }
}

/// The most that may be predicted of each loss: what the limits allow, until audits find that predictions fall short.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LossBudget {
    overall: f64,
    /// Of the strata that were measured.
    strata: BTreeMap<String, f64>,
}

impl LossBudget {
    /// What the limits allow, for the strata that were measured.
    pub(super) fn new(limits: &LossLimits, measured: &[String]) -> LossBudget {
        let nats = |growth: Option<f64>| growth.map_or(f64::INFINITY, f64::ln_1p);
        let strata = measured.iter().map(|name| (name.clone(), nats(limits.limit_of(name)))).collect();
        LossBudget { overall: nats(limits.overall), strata }
    }

    /// Adds the budget to the constraints that are solved under.
    pub(super) fn constrain(&self, constraints: &mut Constraints) {
        if self.overall.is_finite() {
            constraints.nats = Some(constraints.nats.map_or(self.overall, |most| most.min(self.overall)));
        }
        for (name, nats) in self.strata.iter().filter(|(_, nats)| nats.is_finite()) {
            let most = constraints.stratum_nats.entry(name.clone()).or_insert(f64::INFINITY);
            *most = most.min(*nats);
        }
    }

    /// Lowers the budget after the audit of a decision that violates the limits, each part by how many times its own
    /// predicted loss was found; where a limit is kept, to where it just would be. Says what was violated. `attempts` audits
    /// were made: where one step did not help, losses are not in proportion, and the next steps are longer.
    pub(super) fn lower(
        &mut self,
        limits: &LossLimits,
        predicted: &Predicted,
        found: &HeldOut,
        attempts: usize,
    ) -> String {
        let mut violated = vec![];
        let strata = found.strata.iter().map(|(name, quality)| (Some(name), quality));
        for (name, quality) in strata.chain([(None, &found.overall)]) {
            let growth = name.map_or(limits.overall, |name| limits.limit_of(name));
            let (Some(growth), loss) = (growth, quality.loss_at_most()) else { continue };
            let times = loss / growth.ln_1p();
            let known = name.and_then(|name| Some((predicted.strata.get(name)?, self.strata.get_mut(name)?)));
            // What calibration did not see can be lowered with all the rest alone.
            let other = known.is_none() && name.is_some();
            let (nats, most) = known.unwrap_or((&predicted.overall, &mut self.overall));
            if times > 1.0 {
                *most = most.min(nats / (1.05 * times).powi(attempts as i32));
                violated.push(format!(
                    "{times:.2} times the loss allowed {} where {:.2} times was predicted",
                    name.map_or("overall".into(), |name| format!("in {name}")),
                    nats / growth.ln_1p()
                ));
            } else if times > 0.0 && !other {
                // A little above what was predicted, or rounding could rule out the very decision.
                *most = most.min((nats / times).max(nats * (1.0 + 1e-6)));
            }
        }
        violated.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::loss_limits::tests::held, *};

    fn limits(overall: Option<f64>, code: f64) -> LossLimits {
        LossLimits { overall, strata: BTreeMap::from([("code".into(), code)]) }
    }

    #[test]
    fn predictions_are_limited_by_stratum() {
        let limited = |allowed: LossLimits, measured: &[&str]| {
            let measured: Vec<String> = measured.iter().map(|name| (*name).into()).collect();
            let mut constraints = Constraints::default();
            LossBudget::new(&allowed, &measured).constrain(&mut constraints);
            constraints
        };
        let constraints = limited(limits(Some(0.01), 0.003), &["code", "json"]);
        assert_eq!(constraints.nats, Some(0.01f64.ln_1p()));
        assert_eq!(constraints.stratum_nats["code"], 0.003f64.ln_1p());
        assert_eq!(constraints.stratum_nats["json"], 0.01f64.ln_1p());
        let constraints = limited(limits(None, 0.003), &["code", "json"]);
        assert_eq!((constraints.nats, constraints.stratum_nats.len()), (None, 1));
    }

    fn predicted(overall: f64, strata: &[(&str, f64)]) -> Predicted {
        Predicted { overall, strata: strata.iter().map(|&(name, nats)| (name.into(), nats)).collect() }
    }

    /// Code was missed by half and prose kept with room for twice what was found: each has its own budget.
    #[test]
    fn strata_are_lowered_by_their_own_factors() {
        let limits = limits(Some(0.01), 0.01);
        let mut budget = LossBudget::new(&limits, &["code".into(), "prose".into()]);
        let audit = held(0.008, 0.015, 0.005);
        let predictions = predicted(0.004, &[("code", 0.006), ("prose", 0.002)]);
        let violated = budget.lower(&limits, &predictions, &audit, 1);
        assert_eq!(violated, "1.50 times the loss allowed in code where 0.60 times was predicted");
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
        let ratio = |growth: f64| growth.ln_1p() / 0.01f64.ln_1p();
        assert!(near(budget.strata["code"], 0.006 / (1.05 * ratio(0.015))), "{budget:?}");
        assert!(near(budget.strata["prose"], 0.002 / ratio(0.005)), "{budget:?}");
        assert!(near(budget.overall, 0.004 / ratio(0.008)), "{budget:?}");
        assert_eq!(predictions.factors(&audit)["code"], 0.015 / 0.006);
        // Nothing is ever allowed more again, and later steps are longer.
        let before = budget.clone();
        budget.lower(&limits, &predicted(0.003, &[("code", 0.004), ("prose", 0.003)]), &audit, 2);
        assert!(near(budget.strata["code"], 0.004 / (1.05 * ratio(0.015)).powi(2)), "{budget:?}");
        assert_eq!(budget.strata["prose"], before.strata["prose"]);
    }

    #[test]
    fn a_stratum_that_was_not_measured_lowers_the_rest() {
        let limits = limits(None, 0.01);
        let mut budget = LossBudget::new(&limits, &["prose".into()]);
        budget.lower(&limits, &predicted(0.004, &[("prose", 0.002)]), &held(0.008, 0.02, 0.005), 1);
        assert!(budget.overall < 0.0021 && budget.strata["prose"] == f64::INFINITY, "{budget:?}");
    }
}
