//! How much perplexity may grow, and whether an audit shows that it does not grow more.

use std::collections::BTreeMap;

use samp_ir::Diagnostic;

use crate::{
    certificate::{HeldOut, Round},
    error_code,
    quantize::data::TokenRecord,
};

/// Most growth of perplexity, such as 0.005, with 95 % confidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossLimits {
    /// Overall, and in every stratum that has no limit of its own.
    pub overall: Option<f64>,
    /// In strata of their own.
    pub strata: BTreeMap<String, f64>,
}

impl LossLimits {
    /// The limit of a stratum.
    pub(super) fn limit_of(&self, stratum: &str) -> Option<f64> {
        self.strata.get(stratum).copied().or(self.overall)
    }

    /// Refuses limits on strata that no held-out record is of: nothing could show that they hold.
    pub(super) fn check(&self, held_out: &[TokenRecord]) -> Result<(), Diagnostic> {
        let mut known: Vec<&str> = held_out.iter().map(|record| record.stratum.as_str()).collect();
        let Some(name) = self.strata.keys().find(|name| !known.contains(&name.as_str())) else {
            return Ok(());
        };
        known.sort_unstable();
        known.dedup();
        let message = format!("--max-loss: expected a stratum of the held-out records, found `{name}`");
        Err(Diagnostic::bad_input(error_code::UNKNOWN_STRATUM, message)
            .note(format!("there are {}", known.join(", "))))
    }

    /// How many times the allowed loss the audit found, where more than once: overall or in any stratum.
    pub(super) fn violation(&self, found: &HeldOut) -> Option<f64> {
        let strata = found.strata.iter().map(|(name, quality)| (self.limit_of(name), quality));
        let all = strata.chain([(self.overall, &found.overall)]);
        let times = all.filter_map(|(growth, quality)| {
            Some(quality.perplexity_ratio_at_most.ln() / (1.0 + growth?).ln())
        });
        let worst = times.fold(0.0, f64::max);
        (worst > 1.0).then_some(worst)
    }

    /// Why there is no plan after these rounds, the last of which was audited with this result.
    pub(super) fn refusal(&self, rounds: &[Round], found: &HeldOut) -> Diagnostic {
        let percent = |ratio: f64| 100.0 * (ratio - 1.0);
        let message = format!(
            "--max-loss {self} cannot be shown to hold: after {} attempts the perplexity grows by at most \
             {:.3} % overall (one-sided 95 %)",
            rounds.len(),
            percent(found.overall.perplexity_ratio_at_most),
        );
        let strata = found.strata.iter().map(|(name, q)| {
            let (grown, most) = (percent(q.perplexity_ratio), percent(q.perplexity_ratio_at_most));
            let allowed =
                self.limit_of(name).map_or(String::new(), |growth| format!(" of {}", percentage(growth)));
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

/// In single precision, whose shortest digits are those that were typed.
fn percentage(growth: f64) -> String {
    format!("{} %", (100.0 * growth) as f32)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::certificate::StratumQuality;

    fn limits(overall: Option<f64>, code: f64) -> LossLimits {
        LossLimits { overall, strata: BTreeMap::from([("code".into(), code)]) }
    }

    /// An audit that found these growths of perplexity.
    pub(crate) fn held(overall: f64, code: f64, prose: f64) -> HeldOut {
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
        let strict = limits(Some(0.01), 0.003);
        assert_eq!(strict.violation(&held(0.005, 0.002, 0.009)), None);
        let times = strict.violation(&held(0.005, 0.006, 0.009)).unwrap();
        assert!((times - 1.006f64.ln() / 1.003f64.ln()).abs() < 1e-12, "{times}");
        assert!(
            strict.violation(&held(0.005, 0.002, 0.02)).is_some(),
            "others are held to the overall limit"
        );
        assert_eq!(
            limits(Some(0.01), 0.05).violation(&held(0.01, 0.04, 0.01)),
            None,
            "wider is allowed, too"
        );
        assert_eq!(limits(None, 0.003).violation(&held(0.5, 0.002, 0.5)), None);
    }

    #[test]
    fn a_limit_on_an_unknown_stratum_names_those_that_there_are() {
        let record = |stratum: &str| TokenRecord {
            tokens: vec![1, 2],
            stratum: stratum.into(),
            weight: 1.0,
            chat: false,
        };
        let held_out = ["prose", "json", "prose"].map(record);
        let refused = limits(None, 0.003).check(&held_out).unwrap_err().to_string();
        assert!(refused.contains("`code`") && refused.contains("json, prose"), "{refused}");
        assert_eq!(LossLimits::default().check(&held_out), Ok(()));
    }
}
