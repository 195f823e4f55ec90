//! The numbers of a plan: bounded first, so that no later arithmetic on them can overflow.

use samp_abi::{
    Format,
    plan::{
        MANIFEST_FILE, MAX_NAME_CHARS, Plan,
        bounds::{MAX_COUNT, MAX_INDEX, MAX_WIDTH},
        is_plain_name,
    },
};
use samp_kernels::{attention::KvGeometry, format::FP8_MAX};

use super::fault::{Fault, Findings, Place};

/// Checks model, limits and KV cache. Whether they hold: what comes after may then multiply them.
pub(super) fn check(plan: &Plan, findings: &mut Findings) -> bool {
    let before = findings.count();
    let mut place = findings.at(MANIFEST_FILE, "model");
    check_ranges(plan, &mut place);
    check_model(plan, &mut place);
    check_layers(plan, &mut place);
    check_rope(plan, &mut findings.at(MANIFEST_FILE, "model.rope"));
    check_name(plan, &mut findings.at(MANIFEST_FILE, "provenance.name"));
    if findings.count() == before {
        check_kv(plan, &mut findings.at(MANIFEST_FILE, "kv"));
    }
    findings.count() == before
}

/// People see the name as it is.
fn check_name(plan: &Plan, place: &mut Place<'_>) {
    if let Some(name) = &plan.provenance.name {
        let expected = format_args!("up to {MAX_NAME_CHARS} characters that can be shown");
        place.check(is_plain_name(name), Fault::Model, expected, format_args!("{name:?}"));
    }
}

fn check_ranges(plan: &Plan, place: &mut Place<'_>) {
    let model = &plan.model;
    for (what, value, max) in [
        ("hidden_size", model.hidden_size, MAX_WIDTH),
        ("intermediate_size", model.intermediate_size, MAX_WIDTH),
        ("layers", model.layers, MAX_COUNT),
        ("heads", model.heads, MAX_COUNT),
        ("kv_heads", model.kv_heads, MAX_COUNT),
        ("head_dim", model.head_dim, MAX_COUNT),
        ("vocab_size", model.vocab_size, MAX_INDEX),
        ("sliding_window", model.sliding_window.unwrap_or(1), MAX_INDEX),
        ("kv.page_tokens", plan.kv.page_tokens, MAX_COUNT),
    ] {
        place.in_range(what, value, max);
    }
    for limit in plan.limits.bounded() {
        place.in_range(&format!("limits.{}", limit.name), limit.value, limit.most);
    }
}

fn check_model(plan: &Plan, place: &mut Place<'_>) {
    let model = &plan.model;
    let divides = model.kv_heads != 0 && model.heads.is_multiple_of(model.kv_heads);
    place.check(
        divides,
        Fault::Model,
        format_args!("kv_heads to divide {} heads", model.heads),
        model.kv_heads,
    );
    let scale = model.embedding_scale;
    place.check(scale.is_finite() && scale > 0.0, Fault::Model, "an embedding_scale above 0", scale);
    place.check(model.head_dim.is_multiple_of(2), Fault::Model, "an even head_dim", model.head_dim);
    for &token in model.eos_token_ids.iter().chain(&model.bos_token_id) {
        let known = u64::from(token) < model.vocab_size;
        place.check(known, Fault::Model, format_args!("token ids below {}", model.vocab_size), token);
    }
}

/// Layers that differ from the others are layers, each named once, in their order.
fn check_layers(plan: &Plan, place: &mut Place<'_>) {
    let model = &plan.model;
    let full = &model.full_attention_layers;
    for (name, listed) in [("full_attention_layers", full), ("unturned_layers", &model.unturned_layers)] {
        let ascend =
            listed.is_sorted_by(|a, b| a < b) && listed.last().is_none_or(|&last| last < model.layers);
        let expected = format_args!("{name} that ascend below {}", model.layers);
        place.check(ascend, Fault::Model, expected, format_args!("{listed:?}"));
    }
    let beside = model.sliding_window.is_some() || full.is_empty();
    place.check(beside, Fault::Model, "full_attention_layers beside a sliding_window alone", full.len());
}

fn check_rope(plan: &Plan, place: &mut Place<'_>) {
    let (frequencies, head_dim) = (&plan.model.rope.inv_frequencies, plan.model.head_dim);
    let turned = plan.model.rope.rotary_dim.unwrap_or(head_dim);
    let fits = turned > 0 && turned <= head_dim && turned.is_multiple_of(2);
    place.check(fits, Fault::Model, format_args!("an even rotary_dim from 2 to {head_dim}"), turned);
    let pairs = turned / 2;
    let count = frequencies.len();
    let what = format_args!("{pairs} inverse frequencies");
    place.check(count as u64 == pairs, Fault::Model, what, count);
    let scale = plan.model.rope.scale;
    place.check(scale.is_finite() && scale > 0.0, Fault::Model, "a scale above 0", scale);
    if let Some(wrong) = frequencies.iter().find(|f| !(f.is_finite() && **f >= 0.0)) {
        place.wrong(Fault::Model, "inverse frequencies that are finite and not negative", wrong);
    }
}

fn check_kv(plan: &Plan, place: &mut Place<'_>) {
    let (kv, scales) = (&plan.kv, plan.kv.scales.len() as u64);
    if !place.check(KvGeometry::supports(kv.format), Fault::KvCache, "a format that kernels keep", kv.format)
    {
        return;
    }
    let expected = if matches!(kv.format, Format::Fp8E4m3(_)) { plan.model.layers } else { 0 };
    place.check(scales == expected, Fault::KvCache, format_args!("{expected} pairs of scales"), scales);
    for scale in kv.scales.iter().flatten() {
        let holds = (f32::MIN_POSITIVE..=f32::MAX / FP8_MAX).contains(scale);
        place.check(holds, Fault::KvCache, "scales above 0 that keep every code finite", scale);
    }
    let (bytes, said) = (kv.bytes_per_token(&plan.model), plan.memory.kv_bytes_per_token);
    place.check(bytes == said, Fault::Memory, format_args!("{bytes} bytes per token"), said);
}
