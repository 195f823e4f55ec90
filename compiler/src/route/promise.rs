//! How much perplexity may grow: what that allows a prediction, and whether an audit shows that it is kept.

use std::collections::BTreeMap;

use samp_ir::Diagnostic;
use samp_passes::Demands;

use super::{MISSED, NO_STRATUM};
use crate::emit::{Held, Round};

/// Most growth of perplexity, such as 0.005, with 95 % confidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Promise {
    /// Overall, and in every stratum that has no limit of its own.
    pub overall: Option<f64>,
    /// In strata of their own.
    pub strata: BTreeMap<String, f64>,
}

impl Promise {
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
        Err(Diagnostic::bad_input(NO_STRATUM, message).note(format!("there are {}", known.join(", "))))
    }

    /// Limits the predicted losses, overall and of each stratum that was measured, to what is allowed over `correction`.
    pub(super) fn limit(&self, demands: &mut Demands, measured: &[String], correction: f64) {
        let nats = |growth: f64| (1.0 + growth).ln() / correction;
        if let Some(growth) = self.overall {
            demands.nats = Some(demands.nats.map_or(nats(growth), |most| most.min(nats(growth))));
        }
        for stratum in measured {
            if let Some(growth) = self.of(stratum) {
                let most = demands.stratum_nats.entry(stratum.clone()).or_insert(f64::INFINITY);
                *most = most.min(nats(growth));
            }
        }
    }

    /// How many times the allowed loss the audit found, where more than once: overall or in any stratum.
    pub(super) fn excess(&self, held: &Held) -> Option<f64> {
        let strata = held.strata.iter().map(|(name, quality)| (self.of(name), quality));
        let all = strata.chain([(self.overall, &held.overall)]);
        let excess = all.filter_map(|(growth, quality)| {
            Some(quality.perplexity_ratio_at_most.ln() / (1.0 + growth?).ln())
        });
        let worst = excess.fold(0.0, f64::max);
        (worst > 1.0).then_some(worst)
    }

    /// Why there is no plan after these rounds, the last of which was found to be as `held` says.
    pub(super) fn refusal(&self, rounds: &[Round], held: &Held) -> Diagnostic {
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
        strata.fold(Diagnostic::bad_input(MISSED, message), Diagnostic::note).hint(
            "allow a larger --max-loss (every goal but quality keeps 1 % unless told otherwise), more bytes, or give \
             more held-out records (their number sets the interval)",
        )
    }
}

impl std::fmt::Display for Promise {
    /// As on the command line: `0.5 %, code=0.3 %`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let overall = self.overall.map(percentage);
        let strata = self.strata.iter().map(|(name, growth)| format!("{name}={}", percentage(*growth)));
        f.write_str(&overall.into_iter().chain(strata).collect::<Vec<_>>().join(", "))
    }
}

/// In single precision, whose shortest digits are those that were typed.
fn percentage(growth: f64) -> String {
    format!("{} %", (100.0 * growth) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::StratumQuality;

    fn promise(overall: Option<f64>, code: f64) -> Promise {
        Promise { overall, strata: BTreeMap::from([("code".into(), code)]) }
    }

    fn held(overall: f64, code: f64, prose: f64) -> Held {
        let quality = |growth: f64| StratumQuality {
            records: 1,
            tokens: 1,
            kl_nats: growth,
            kl_nats_at_most: growth,
            perplexity_ratio: 1.0 + growth,
            perplexity_ratio_at_most: 1.0 + growth,
        };
        let strata = [("code".into(), quality(code)), ("prose".into(), quality(prose))];
        Held { fingerprint: String::new(), overall: quality(overall), strata: strata.into() }
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
        let mut demands = Demands::default();
        let measured = ["code", "json"].map(String::from);
        promise(Some(0.01), 0.003).limit(&mut demands, &measured, 2.0);
        assert_eq!(demands.nats, Some(1.01f64.ln() / 2.0));
        assert_eq!(demands.stratum_nats["code"], 1.003f64.ln() / 2.0);
        assert_eq!(demands.stratum_nats["json"], 1.01f64.ln() / 2.0);
        let mut demands = Demands::default();
        promise(None, 0.003).limit(&mut demands, &measured, 1.0);
        assert_eq!((demands.nats, demands.stratum_nats.len()), (None, 1));
    }

    #[test]
    fn a_limit_on_an_unknown_stratum_names_those_that_there_are() {
        let held_out = ["prose", "json", "prose"].map(String::from);
        let refused = promise(None, 0.003).check(&held_out).unwrap_err().to_string();
        assert!(refused.contains("`code`") && refused.contains("json, prose"), "{refused}");
        assert_eq!(Promise::default().check(&held_out), Ok(()));
    }
}
