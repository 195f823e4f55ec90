//! The page: its head, its navigation and its sections in their order.

use samp_compiler::output_file::OutputFile;
use samp_ir::Diagnostic;

use super::{
    ReportInputs,
    cost::cost,
    decisions::decisions,
    formats::formats,
    front::Front,
    headline::{headline, unmeasured},
    heatmap::heatmap,
    layers::{bytes, latency},
    markup::el,
    outliers::outliers,
    quality::quality,
    range::check_range,
    scatter::scatter,
    section::Section,
    source::source,
    style::STYLE,
    warnings::warnings,
};

/// The page of a plan.
pub fn page(inputs: &ReportInputs<'_>) -> Result<String, Diagnostic> {
    check_range(inputs.certificate)?;
    let front = Front::from_inputs(inputs)?;
    let sections = [
        Some(headline(inputs)),
        warnings(inputs),
        unmeasured(inputs),
        quality(inputs),
        front.as_ref().and_then(|front| scatter(inputs, front)),
        Some(heatmap(inputs).unwrap_or_else(|| formats(inputs))),
        Some(bytes(inputs)),
        latency(inputs),
        outliers(inputs),
        cost(inputs),
        Some(decisions(inputs, front.as_ref())),
        Some(source(inputs)),
    ];
    let model = &inputs.plan.model;
    let kind = format!("{:?}, {} layers, for {}", model.architecture, model.layers, inputs.plan.target);
    let name = inputs.plan.provenance.name.as_ref();
    let title = name.map_or(kind.clone(), |name| format!("{name}: {kind}"));
    let head = el("head")
        .add(el("meta").attr("charset", "utf-8"))
        .add(el("meta").attr("name", "generator").attr("content", OutputFile::GENERATOR))
        .add(el("meta").attr("name", "viewport").attr("content", "width=device-width, initial-scale=1"))
        .add(el("meta").attr("name", "color-scheme").attr("content", "light dark"))
        .add(el("title").text(format!("{title} – samp report")))
        .add(el("style").verbatim(STYLE));
    let sections: Vec<Section> = sections.into_iter().flatten().collect();
    let links = sections.iter().map(|s| el("a").attr("href", format!("#{}", s.id)).text(s.title));
    let nav = el("nav").attr("aria-label", "Sections").all(links);
    let header = el("header")
        .add(el("p").class("kind").text("samp report"))
        .add(el("h1").text(name.unwrap_or(&kind)))
        .all(name.map(|_| el("p").class("kind").text(&kind)))
        .add(nav);
    let main = el("main").all(sections.into_iter().map(|s| s.body));
    let html = el("html").attr("lang", "en").add(head).add(el("body").add(header).add(main));
    Ok(format!("<!doctype html>\n{html}\n"))
}
