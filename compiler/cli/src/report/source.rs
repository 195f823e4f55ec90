//! What the page was made from.

use super::{
    ReportInputs,
    markup::{Element, el},
    section::{Section, section},
};

/// Hashes and versions, and the recipe in full.
pub fn source(inputs: &ReportInputs<'_>) -> Section {
    let ReportInputs { plan, certificate, .. } = inputs;
    let mut facts = vec![
        ("made by", plan.provenance.tool.clone()),
        ("plan", format!("schema {}, blake3:{}", plan.schema, plan.digest)),
        ("certificate", format!("schema {}", certificate.schema)),
    ];
    if let Some(quality) = inputs.quality() {
        let profile = &quality.profile;
        facts.extend([
            ("calibration", profile.fingerprint.clone()),
            ("rounding", profile.rounding.clone()),
            ("tokens behind each output error", profile.moment_tokens.to_string()),
            ("predictions behind each divergence", profile.divergence_tokens.to_string()),
            ("held-out records", quality.held_out.fingerprint.clone()),
            ("rounded weights", quality.rounded.clone()),
        ]);
    }
    let files = plan.provenance.sources.iter().map(|file| (file.path.as_str(), file.blake3.clone()));
    let facts = facts.into_iter().chain(files).map(|(name, value)| fact(name, &value));
    let recipe = el("details")
        .add(el("summary").text("The recipe"))
        .add(el("pre").attr("tabindex", 0).add(el("code").text(certificate.recipe.trim_end())));
    section("source", "Provenance", "Hashes are BLAKE3.").add(el("dl").class("facts").all(facts)).add(recipe)
}

fn fact(name: &str, value: &str) -> Element {
    el("div").add(el("dt").text(name)).add(el("dd").text(value))
}
