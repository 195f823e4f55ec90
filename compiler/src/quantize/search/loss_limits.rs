//! How much perplexity may grow, and whether an audit shows that it does not grow more.

use std::collections::BTreeMap;

use samp_ir::{Diagnostic, Severity};

use crate::{
    certificate::{HeldOut, Round, StratumQuality},
    error_code,
    quantize::data::CalibrationData,
    statistics::{LEAST_RECORDS, factor, records_needed},
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

    /// Refuses limits that no audit on this data could show to hold: on strata that it does not have, on records that were
    /// calibrated on, and on fewer records than bound anything.
    pub(super) fn check(&self, data: &CalibrationData) -> Result<(), Diagnostic> {
        if *self == LossLimits::default() {
            return Ok(());
        }
        let counts = data.held_out_counts();
        self.check_names(&counts)?;
        if let Some(overlap) = data.warnings.iter().find(|warning| warning.code == error_code::OVERLAP) {
            return Err(self.refuse_overlap(overlap));
        }
        let limited = |name: &&str| self.limit_of(name).is_some();
        let few: Vec<(&str, usize)> =
            counts.into_iter().filter(|(name, count)| limited(name) && *count < LEAST_RECORDS).collect();
        if few.is_empty() { Ok(()) } else { Err(self.refuse_few(&few)) }
    }

    /// Refuses limits on strata that no held-out record is of.
    fn check_names(&self, counts: &BTreeMap<&str, usize>) -> Result<(), Diagnostic> {
        let known: Vec<&str> =
            counts.iter().filter(|(_, count)| **count > 0).map(|(name, _)| *name).collect();
        let unknown = |name: &&String| !counts.contains_key(name.as_str());
        let Some(name) = self.strata.keys().find(unknown) else { return Ok(()) };
        let message = format!("--max-loss: expected a stratum of the held-out records, found `{name}`");
        Err(Diagnostic::bad_input(error_code::UNKNOWN_STRATUM, message)
            .note(format!("there are {}", known.join(", "))))
    }

    fn refuse_overlap(&self, overlap: &Diagnostic) -> Diagnostic {
        let message = format!("--max-loss {self} cannot be shown to hold: {}", overlap.message);
        let refused = Diagnostic { severity: Severity::Error, message, ..overlap.clone() };
        refused.hint(
            "the loss found on them is too low to promise anything: leave them out of one of the two files, or compile \
             without --max-loss (every goal but quality keeps 1 % unless told otherwise)",
        )
    }

    fn refuse_few(&self, few: &[(&str, usize)]) -> Diagnostic {
        let found = few.iter().map(|(name, count)| format!("{count} of `{name}`")).collect::<Vec<_>>();
        let message = format!(
            "--max-loss {self} cannot be shown to hold: expected {LEAST_RECORDS} or more held-out records of each \
             stratum, found {}",
            found.join(", ")
        );
        Diagnostic::bad_input(error_code::TOO_FEW_TO_PROMISE, message)
            .note("one record does not say how far others lie from it, so that nothing bounds their mean")
            .note(distances())
            .hint(
                "give more records to --calib, an eighth of which is held out (12 of a stratum are the least), or more to \
                 judge on with --audit",
            )
    }

    /// How many times the allowed loss the audit found, where more than once: overall or in any stratum.
    pub(super) fn violation(&self, found: &HeldOut) -> Option<f64> {
        let times = self.limited(found).map(|(_, limit, quality)| quality.loss_at_most() / limit);
        let worst = times.fold(0.0, f64::max);
        (worst > 1.0).then_some(worst)
    }

    /// What is limited, with the most that its likelihood's logarithm may lose in nats per token, and what was found.
    fn limited<'a>(&'a self, found: &'a HeldOut) -> impl Iterator<Item = (&'a str, f64, &'a StratumQuality)> {
        let strata =
            found.strata.iter().map(move |(name, quality)| (name.as_str(), self.limit_of(name), quality));
        let all = strata.chain([("overall", self.overall, &found.overall)]);
        all.filter_map(|(name, growth, quality)| Some((name, (1.0 + growth?).ln(), quality)))
    }

    /// Why there is no plan after these rounds, the last of which was audited with this result.
    pub(super) fn refusal(&self, rounds: &[Round], found: &HeldOut) -> Diagnostic {
        let missed = self.limited(found).any(|(_, limit, quality)| quality.perplexity_ratio.ln() > limit);
        let code = if missed { error_code::MISSED_LIMITS } else { error_code::TOO_FEW_TO_PROMISE };
        let message = format!(
            "--max-loss {self} cannot be shown to hold: after {} the perplexity grows by {:.3} % overall, {} \
             (one-sided 95 %)",
            match rounds.len() {
                1 => "one attempt".into(),
                attempts => format!("{attempts} attempts"),
            },
            percent(found.overall.perplexity_ratio),
            at_most(&found.overall),
        );
        let notes = self.limited(found).map(|(name, limit, quality)| described(name, limit, quality));
        let refused = notes.fold(Diagnostic::bad_input(code, message), Diagnostic::note);
        if missed {
            return refused.hint(
                "allow a larger --max-loss (every goal but quality keeps 1 % unless told otherwise), more bytes, or give \
                 more held-out records (their number sets the bound)",
            );
        }
        refused.hint(
            "what was found is within the limits, but too few records show it: give more to --calib, an eighth of which \
             is held out, or more to judge on with --audit; or allow a larger --max-loss",
        )
    }
}

/// What was found where a loss is limited, and how many records would show that the limit is kept.
fn described(name: &str, limit: f64, quality: &StratumQuality) -> String {
    let grown = percent(quality.perplexity_ratio);
    let kept = quality.loss_at_most() <= limit;
    let mean = quality.perplexity_ratio.ln();
    let needed = match records_needed(quality.records, mean, quality.loss_at_most(), limit) {
        _ if kept => String::new(),
        Some(needed) => format!("; it would take about {needed}"),
        None => "; no number of them would show it".into(),
    };
    let (bound, allowed) = (at_most(quality), percentage(limit.exp_m1()));
    format!(
        "{name}: {grown:.3} %, {bound}, where {allowed} is allowed, by {} records{needed}",
        quality.records
    )
}

fn percent(ratio: f64) -> f64 {
    100.0 * (ratio - 1.0)
}

fn at_most(quality: &StratumQuality) -> String {
    let bound = |ratio: f64| format!("at most {:.3} %", percent(ratio));
    quality.perplexity_ratio_at_most.map_or("without a bound".into(), bound)
}

/// How far bounds lie from what is found, for some numbers of records.
fn distances() -> String {
    let [two, five, ten, thirty] = [2, 5, 10, 30].map(|records| factor(records, 0.0));
    format!(
        "a bound lies at least {two:.0} standard errors above what 2 records show, {five:.1} from 5, {ten:.1} from 10, \
         {thirty:.1} from 30"
    )
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
pub(super) mod tests;
