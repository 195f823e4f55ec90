//! What the compile warned of.

use super::{
    ReportInputs,
    markup::{Element, el},
    section::{Section, section},
};
use samp_compiler::certificate::Warning;

/// Every warning; `None` where there was none.
pub fn warnings(inputs: &ReportInputs<'_>) -> Option<Section> {
    let warnings = &inputs.certificate.warnings;
    let note = "What the compile warned of: to know before relying on this plan.";
    let items = warnings.iter().map(item);
    let list = || el("ul").class("plain").all(items);
    (!warnings.is_empty()).then(|| section("warnings", "Warnings", note).add(list()))
}

fn item(warning: &Warning) -> Element {
    let place = warning.location.as_ref().map_or_else(String::new, |place| format!(" ({place})"));
    let notes = warning.notes.join("; ");
    let notes = if notes.is_empty() { notes } else { format!(": {notes}") };
    el("li").class("warning").text(format!("{} {}{place}{notes}", warning.code, warning.message))
}
