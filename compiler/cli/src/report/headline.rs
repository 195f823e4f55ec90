//! The figures that a reader looks for first, and what is missing where nothing was measured.

use super::{
    ReportInputs,
    figures::{amount, growth, nats, time},
    markup::{Element, el},
    section::{Section, section},
};
use samp_compiler::lower::{predict, size::Bytes};

/// The headline figures.
pub fn headline(inputs: &ReportInputs<'_>) -> Section {
    let ReportInputs { plan, certificate, .. } = inputs;
    let linears = &certificate.decoder_linears;
    let bits = card(
        "Bits per weight",
        format!("{:.3}", linears.bits_per_weight),
        format!("over the decoder's linears, every scale counted: {}", Bytes(linears.bytes)),
    );
    let all = &certificate.all_tensors;
    let weights = card(
        "Weights",
        Bytes(plan.memory.weights_bytes).to_string(),
        format!("all tensors, {:.3} bits per weight on average", all.bits_per_weight),
    );
    let kv = card(
        "KV cache",
        format!("{} a token", Bytes(plan.memory.kv_bytes_per_token)),
        format!("in {}, over all layers", plan.kv.format),
    );
    let cards = [bits, weights]
        .into_iter()
        .chain(losses(inputs))
        .chain(against_uniform(inputs))
        .chain(speed(inputs))
        .chain([kv]);
    let target = predict::target_description(plan.target);
    let note = format!("Compiled for {}: {target}. Recipe: {}.", plan.target, recipe(inputs));
    section("summary", "Summary", &note).add(el("dl").class("cards").all(cards))
}

fn recipe(inputs: &ReportInputs<'_>) -> String {
    if inputs.quality().is_some() {
        return "decided from measurements".into();
    }
    let recipe = inputs.certificate.recipe.trim();
    if recipe.contains('\n') { "a file, given in full below".into() } else { recipe.into() }
}

fn card(name: &str, figure: impl std::fmt::Display, note: impl std::fmt::Display) -> Element {
    el("div")
        .class("card")
        .add(el("dt").text(name))
        .add(el("dd").class("figure").text(figure))
        .add(el("dd").class("sub").text(note))
}

fn losses(inputs: &ReportInputs<'_>) -> [Element; 2] {
    let Some(quality) = inputs.quality() else {
        return ["Audited KL", "Perplexity"].map(|name| card(name, "–", "not measured: see below"));
    };
    let all = &quality.held_out.overall;
    let kl = format!("nats per token; {}", confident(all.kl_nats_at_most, nats));
    let ratio = format!(
        "× {:.5} of the unquantized model's; {}",
        all.perplexity_ratio,
        confident(all.perplexity_ratio_at_most, growth)
    );
    [card("Audited KL", nats(all.kl_nats), kl), card("Perplexity", growth(all.perplexity_ratio), ratio)]
}

/// A bound as a clause.
fn confident(at_most: Option<f64>, shown: impl Fn(f64) -> String) -> String {
    let said = |bound| format!("at most {} with 95 % confidence", shown(bound));
    at_most.map_or("one record bounds nothing".into(), said)
}

fn against_uniform(inputs: &ReportInputs<'_>) -> Option<Element> {
    let quality = inputs.quality()?;
    let uniform = quality.best_uniform.as_ref()?;
    let own = quality.held_out.overall.kl_nats;
    let note = format!(
        "than the best plan with one format for all linears that is no larger: {} at {:.3} bits loses {} nats per token",
        uniform.format,
        uniform.bits_per_weight,
        nats(uniform.kl_nats)
    );
    let change = 100.0 * (own / uniform.kl_nats - 1.0);
    let less = format!("{:.0} % {} loss", change.abs(), if change > 0.0 { "more" } else { "less" });
    (uniform.kl_nats > 0.0).then(|| card("Against uniform", less, note))
}

fn speed(inputs: &ReportInputs<'_>) -> Option<Element> {
    let nanos = predict::program_time(inputs.plan, 1)?.0;
    let context = predict::selection(inputs.plan).context;
    let note = format!("predicted for one sequence at {context} positions: {} a token", time(nanos));
    Some(card("Decode", format!("{} tokens/s", amount(1e9 / nanos)), note))
}

/// What a plan of a fixed recipe does not tell, and how to have it.
pub fn unmeasured(inputs: &ReportInputs<'_>) -> Option<Section> {
    if inputs.quality().is_some() {
        return None;
    }
    let bits = (10.0 * inputs.certificate.decoder_linears.bits_per_weight).ceil() / 10.0;
    let note = "The formats of this plan follow a fixed recipe, so that nothing is known of what it loses: sensitivity, \
                the front, audited quality, activation outliers and reasons are missing here. A plan decided from \
                measurements has them all; give calibration records with --calib:";
    let command = format!("samp compile MODEL --calib RECORDS.jsonl --max-bits {bits} -o PLAN");
    let measure = el("pre").attr("tabindex", 0).add(el("code").text(command));
    let eval = "The loss of this very plan, without the rest, is measured by:";
    let eval_command = "samp eval PLAN --data RECORDS.jsonl --against MODEL";
    Some(
        section("missing", "Not measured", note)
            .add(measure)
            .add(el("p").text(eval))
            .add(el("pre").attr("tabindex", 0).add(el("code").text(eval_command))),
    )
}
