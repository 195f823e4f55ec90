//! What the audit found on records that calibration did not see.

use std::collections::BTreeSet;

use super::{
    ReportInputs,
    effects::effects,
    figures::{growth, nats},
    markup::{Element, el},
    section::{Section, section},
    table::{
        Column::{Number, Text},
        number, row, table,
    },
};
use samp_compiler::certificate::{QualityEvidence, Round, StratumQuality};

/// Quality overall and by stratum, and every attempt; `None` where nothing was measured.
pub fn quality(inputs: &ReportInputs<'_>) -> Option<Section> {
    let quality = inputs.quality()?;
    let held_out = &quality.held_out;
    let all: Vec<(&str, &StratumQuality)> = [("overall", &held_out.overall)]
        .into_iter()
        .chain(held_out.strata.iter().map(|(name, quality)| (name.as_str(), quality)))
        .collect();
    let most = all.iter().map(|(_, q)| q.kl_nats_at_most.unwrap_or(q.kl_nats)).fold(0.0, f64::max);
    let rows = all.iter().map(|(name, q)| row(name, stratum(q, most)));
    let columns = [
        Text("stratum"),
        Text("KL, to its bound"),
        Number("nats/token"),
        Number("at most"),
        Number("perplexity"),
        Number("at most"),
        Number("records"),
        Number("tokens"),
    ];
    let note = "Divergence from the unquantized model on held-out records. \u{201c}At most\u{201d} is a one-sided 95 % bound \
                over records: the standard errors of Student\u{2019}s distribution above the estimate, more where losses are \
                skewed or records fewer than 28; one record has none.";
    Some(
        section("quality", "Audited quality", note)
            .all(skew(quality))
            .add(table("Quality by stratum", &columns, rows))
            .add(attempts(quality))
            .add(limits(&quality.rounds))
            .all(effects(&quality.effects)),
    )
}

/// Says so where held-out records are of strata that calibration did not see.
fn skew(quality: &QualityEvidence) -> Option<Element> {
    let measured = quality.profile.weights.iter().flat_map(|w| &w.formats);
    let seen: BTreeSet<&String> = measured.flat_map(|s| s.divergence.strata.keys()).collect();
    let (inside, outside): (Vec<_>, Vec<_>) =
        quality.held_out.strata.iter().partition(|(name, _)| seen.contains(name));
    let mean = |strata: &[(&String, &StratumQuality)]| {
        let tokens: usize = strata.iter().map(|(_, q)| q.tokens).sum();
        strata.iter().map(|(_, q)| q.kl_nats * q.tokens as f64).sum::<f64>() / tokens.max(1) as f64
    };
    let names: Vec<&str> = outside.iter().map(|(name, _)| name.as_str()).collect();
    let mut text = format!("Calibration saw no record of {}.", names.join(", "));
    let (known, unknown) = (mean(&inside), mean(&outside));
    if known > 0.0 {
        let times = unknown / known;
        text += &format!(" A token of these loses {times:.2} times as much as one of the strata it saw.");
    }
    (!seen.is_empty() && !outside.is_empty()).then(|| el("p").class("warning").text(text))
}

fn stratum(quality: &StratumQuality, most: f64) -> [Element; 7] {
    [
        range(quality.kl_nats, quality.kl_nats_at_most, most),
        number(nats(quality.kl_nats)),
        number(bound(quality.kl_nats_at_most, nats)),
        number(growth(quality.perplexity_ratio)),
        number(bound(quality.perplexity_ratio_at_most, growth)),
        number(quality.records),
        number(quality.tokens),
    ]
}

/// A bound, or that there is none.
pub(super) fn bound(at_most: Option<f64>, shown: impl Fn(f64) -> String) -> String {
    at_most.map_or("no bound".into(), shown)
}

/// A cell with a dot at the value and a line to its bound: to the end where there is none.
fn range(value: f64, at_most: Option<f64>, most: f64) -> Element {
    let share = |v: f64| if most > 0.0 { (100.0 * v / most).clamp(0.0, 100.0) } else { 0.0 };
    let (from, to) = (share(value), at_most.map_or(100.0, share));
    let line = el("span").class("whisker").attr("style", format!("left:{from:.2}%;width:{:.2}%", to - from));
    let dot = el("span").class("dot").attr("style", format!("left:{from:.2}%"));
    let label = format!("{}, at most: {}", nats(value), bound(at_most, nats));
    let range = el("div").class("range").attr("role", "img").attr("aria-label", label);
    el("td").class("wide").add(range.add(line).add(dot))
}

fn attempts(quality: &QualityEvidence) -> Element {
    let rows = quality.rounds.iter().enumerate().map(|(index, round)| {
        let factor = round.audited_nats / round.predicted_nats;
        let factor = if factor.is_finite() { format!("{factor:.2}") } else { "–".into() };
        let cells = [
            number(nats(round.predicted_nats)),
            number(round.bound_nats.map_or("–".into(), nats)),
            number(format!("{:.3} %", 100.0 * round.gap)),
            number(nats(round.audited_nats)),
            number(factor),
        ];
        row(&(index + 1).to_string(), cells)
    });
    let columns = [
        Text("attempt"),
        Number("predicted"),
        Number("least possible (proved)"),
        Number("solved to within"),
        Number("audited"),
        Number("audited ÷ predicted"),
    ];
    table(
        "Each attempt at the formats, and what the plan was then found to lose, in nats per token",
        &columns,
        rows,
    )
}

/// What the last solve was asked for.
fn limits(rounds: &[Round]) -> Element {
    let asked = rounds.last().map_or(&[][..], |round| &round.limits);
    if asked.is_empty() {
        return el("p").text("No limit was asked for.");
    }
    let items = asked.iter().map(|limit| el("li").text(limit));
    el("div")
        .add(el("p").text("What was asked for, and how much of it the plan takes:"))
        .add(el("ul").class("plain").all(items))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn a_range_reaches_from_the_value_to_its_bound() {
        let shown = range(1.0, Some(2.0), 4.0).to_string();
        assert!(shown.contains("left:25.00%;width:25.00%"), "{shown}");
        assert!(range(0.0, Some(0.0), 0.0).to_string().contains("left:0.00%;width:0.00%"));
        let boundless = range(1.0, None, 4.0).to_string();
        assert!(
            boundless.contains("left:25.00%;width:75.00%") && boundless.contains("no bound"),
            "{boundless}"
        );
    }
}
