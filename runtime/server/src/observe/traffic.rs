//! Whether the plan is asked for what it was calibrated on: the kinds of requests that come, beside the mix of the calibration.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use samp_runtime::OpenPlan;
use serde_json::Value;

use super::exposition::{Exposed, Exposition};

/// The plan's own account of how it came about.
const CERTIFICATE_FILE: &str = "certificate.json";
/// Kinds that are told apart; tokens of others are of `other`.
const MAX_STRATA: usize = 16;

/// Tokens by the kind of their request.
pub struct Traffic {
    /// The part of each kind in the calibration; none where the plan was not calibrated on kinds.
    mix: BTreeMap<String, f64>,
    served: Mutex<BTreeMap<String, u64>>,
}

impl Traffic {
    /// Beside the mix that a plan was calibrated on.
    pub fn new(plan: &OpenPlan) -> Traffic {
        let certificate = plan.file(CERTIFICATE_FILE).and_then(|bytes| serde_json::from_slice(bytes).ok());
        Traffic { mix: mix(&certificate.unwrap_or_default()), served: Mutex::default() }
    }

    /// Tokens of a request and its answer; of a request whose client does not say its kind nothing is known.
    pub fn served(&self, stratum: Option<&str>, tokens: u64) {
        let Some(stratum) = stratum else { return };
        // A count is changed at once.
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let known = served.contains_key(stratum) || served.len() < MAX_STRATA;
        *served.entry(if known { stratum } else { "other" }.to_owned()).or_default() += tokens;
    }
}

/// `quality.calibration.mix` of a certificate.
fn mix(certificate: &Value) -> BTreeMap<String, f64> {
    let parts = certificate["quality"]["calibration"]["mix"].as_object().into_iter().flatten();
    parts.filter_map(|(stratum, part)| Some((stratum.clone(), part.as_f64()?))).collect()
}

/// What each kind contributes to the Jensen–Shannon divergence (Lin 1991) of two distributions, in nats; all together at most
/// ln 2.
fn contributions<'s>(p: &'s BTreeMap<String, f64>, q: &'s BTreeMap<String, f64>) -> BTreeMap<&'s str, f64> {
    let strata: BTreeSet<&str> = p.keys().chain(q.keys()).map(String::as_str).collect();
    let part = |of: &BTreeMap<String, f64>, stratum: &str| of.get(stratum).copied().unwrap_or(0.0);
    let half = |x: f64, middle: f64| if x > 0.0 { 0.5 * x * (x / middle).ln() } else { 0.0 };
    let contribution = |stratum| {
        let (p, q) = (part(p, stratum), part(q, stratum));
        (stratum, half(p, 0.5 * (p + q)) + half(q, 0.5 * (p + q)))
    };
    strata.into_iter().map(contribution).collect()
}

impl Exposed for Traffic {
    fn write(&self, to: &mut Exposition) {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = "samp_traffic_tokens_total";
        let help = "Tokens of requests and answers, by the kind that clients say.";
        for (stratum, tokens) in &served {
            to.counter(name, help, &[("stratum", stratum.clone())], tokens);
        }
        let total: u64 = served.values().sum();
        if total == 0 || self.mix.is_empty() {
            return;
        }
        let parts =
            served.into_iter().map(|(stratum, tokens)| (stratum, tokens as f64 / total as f64)).collect();
        let name = "samp_traffic_divergence_nats";
        let help = "What each kind contributes to the Jensen-Shannon divergence of the kinds that are served from the mix of \
                    the calibration; together at most 0.693.";
        for (stratum, nats) in contributions(&self.mix, &parts) {
            to.gauge(name, help, &[("stratum", stratum.to_owned())], nats);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parts(parts: &[(&str, f64)]) -> BTreeMap<String, f64> {
        parts.iter().map(|(stratum, part)| ((*stratum).to_owned(), *part)).collect()
    }

    #[test]
    fn the_divergence_is_that_of_the_definition() {
        let sum =
            |p: &[(&str, f64)], q: &[(&str, f64)]| contributions(&parts(p), &parts(q)).values().sum::<f64>();
        assert_eq!(sum(&[("a", 0.3), ("b", 0.7)], &[("a", 0.3), ("b", 0.7)]), 0.0);
        assert!((sum(&[("a", 1.0)], &[("b", 1.0)]) - std::f64::consts::LN_2).abs() < 1e-15);
        let expected = 0.5 * (0.5 * (0.5f64 / 0.75).ln() + 0.5 * 2f64.ln()) + 0.5 * (1.0f64 / 0.75).ln();
        assert!((sum(&[("a", 0.5), ("b", 0.5)], &[("a", 1.0)]) - expected).abs() < 1e-15);
    }

    #[test]
    fn the_mix_is_the_certificates_and_kinds_are_bounded() {
        let certificate = json!({ "quality": { "calibration": { "mix": { "code": 0.25, "prose": 0.75 } } } });
        let traffic = Traffic { mix: mix(&certificate), served: Mutex::default() };
        assert_eq!(traffic.mix, parts(&[("code", 0.25), ("prose", 0.75)]));
        assert!(mix(&json!({ "quality": null })).is_empty());
        (0..100).for_each(|kind| traffic.served(Some(&format!("kind{kind}")), 2));
        traffic.served(None, 1000);
        let served = traffic.served.lock().unwrap();
        assert_eq!((served.len(), served.values().sum::<u64>()), (MAX_STRATA + 1, 200));
    }
}
