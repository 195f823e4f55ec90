//! What a plan holds on its device beside the weights.

use samp_abi::{
    Format, ScaleAxis,
    plan::{KvCache, OpKind},
};
use samp_ir::Diagnostic;
use samp_passes::{
    DeviceMemory, FormatCost, KvCost, legal_ops,
    recipe::{Recipe, Rule},
};

use super::sensitivities::strata_nats;
use crate::{
    certificate::CacheLoss,
    lower::{LowerOptions, Measurements, ModelSource, PlanSpec, lower_to_spec, recipe::LoadedRecipe},
};

/// The device beside the weights, for a cache that loses this, in these strata.
pub(super) fn device(
    source: &ModelSource,
    options: &LowerOptions,
    measurements: &Measurements,
    losses: &[CacheLoss],
    strata: &[String],
) -> Result<DeviceMemory, Diagnostic> {
    // Activations take the same bytes whatever the weights' formats, so that every plan has the arena of the one in f16,
    // which suits every shape and target, or less than where every fused linear is split.
    let spec = lower_to_spec(source, &in_f16(options), measurements)?;
    // A target that cannot put results together splits no fused linear.
    let splits = legal_ops(options.target).contains(&OpKind::Concat);
    let split = if splits {
        lower_to_spec(source, &with_recipe(options, split_recipe()), measurements)?.arena_bytes
    } else {
        spec.arena_bytes
    };
    let cost = |loss: &CacheLoss| KvCost {
        bytes: kv_bytes(&spec, loss.format),
        loss: FormatCost {
            format: loss.format,
            nats: loss.divergence.nats,
            strata: strata_nats(&loss.divergence, strata),
        },
    };
    let kv = losses.iter().map(cost).collect();
    Ok(DeviceMemory { arena_bytes: spec.arena_bytes, split_arena_bytes: split, kv })
}

/// Options by which every weight is in f16, which suits every shape and target.
pub(super) fn in_f16(options: &LowerOptions) -> LowerOptions {
    with_recipe(options, Recipe::uniform(Format::F16))
}

fn with_recipe(options: &LowerOptions, recipe: Recipe) -> LowerOptions {
    let recipe = LoadedRecipe { source: recipe.name.clone(), recipe };
    LowerOptions { recipe, ..options.clone() }
}

/// A recipe by which the members of every fused linear differ, so that each is split.
fn split_recipe() -> Recipe {
    let mut recipe = Recipe::uniform(Format::F16);
    let differing = ["*.k_proj", "*.gate_proj"];
    let rule = |pattern: &str| Rule { pattern: pattern.into(), format: Format::Fp8E4m3(ScaleAxis::Channel) };
    recipe.rules.extend(differing.map(rule));
    recipe
}

/// Keys and values of all sequences at their longest, in whole pages.
fn kv_bytes(spec: &PlanSpec, format: Format) -> u64 {
    let kv = KvCache { format, ..spec.kv.clone() };
    let page = kv.page_tokens.max(1);
    let positions = spec.limits.max_context.div_ceil(page).saturating_mul(page);
    let tokens = positions.saturating_mul(spec.limits.max_sequences);
    tokens.saturating_mul(kv.bytes_per_token(&spec.model))
}
