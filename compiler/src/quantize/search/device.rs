//! What a plan holds on its device beside the weights, and what each format of the KV cache loses.

use samp_abi::{
    Format, ScaleAxis,
    plan::{KvCache, OpKind},
};
use samp_ir::Phase;
use samp_passes::{
    Device, FormatCost, KvCost, Objective, legal_ops,
    recipe::{Recipe, Rule},
};

use super::{Router, journal::Journal, stratum};
use crate::{
    certificate::CacheLoss,
    compile::{CompileOptions, Lowered, lower_model},
    lower::{PlanSpec, pipeline::default_kv_format, recipe::LoadedRecipe},
    quantize::{Divergence, Forward, State, Tokens, by_stratum},
};

impl Router<'_> {
    /// The formats that the KV cache may have: one, unless it is left open and what the device holds is demanded.
    fn kv_formats(&self) -> Vec<Format> {
        let (options, demands) = (self.options, &self.route.demands);
        let usual = default_kv_format(options.target);
        let fixed = options.kv.or(options.recipe.recipe.kv);
        if fixed.is_none() && (demands.device_bytes.is_some() || demands.objective == Objective::DeviceBytes)
        {
            let mut formats = vec![usual, Format::F16, Format::Fp8E4m3(ScaleAxis::Tensor)];
            formats.dedup();
            return formats;
        }
        vec![fixed.unwrap_or(usual)]
    }

    /// Measures the formats of the KV cache on the judged tokens, but for those in the journal, and notes them there;
    /// `forward` holds the unquantized weights.
    pub fn cache_losses(
        &self,
        forward: &mut Forward,
        tokens: &Tokens<'_>,
        journal: &Journal,
        say: &dyn Fn(&str),
    ) -> anyhow::Result<Vec<CacheLoss>> {
        let mut losses = vec![];
        for format in self.kv_formats() {
            // Other scales of fp8 would lose something else.
            let scales = (format != Format::F16).then_some(self.options.kv_scales.as_deref()).flatten();
            let loss = if format == Format::F32 {
                // The unquantized model is run with such a cache.
                let divergence = Divergence { measured: true, nats: 0.0, strata: Default::default() };
                CacheLoss { format, divergence }
            } else if let Some(known) = journal.cache(format, scales) {
                known.clone()
            } else {
                let loss = CacheLoss { format, divergence: self.cache_loss(forward, tokens, format)? };
                say(&format!("measured the KV cache in {format}"));
                journal.note_cache(&loss, scales)?;
                loss
            };
            losses.push(loss);
        }
        Ok(losses)
    }

    fn cache_loss(
        &self,
        forward: &mut Forward,
        tokens: &Tokens<'_>,
        format: Format,
    ) -> anyhow::Result<Divergence> {
        let (baseline, states) = (tokens.baseline(forward)?, vec![State::default(); tokens.judged]);
        let run = |forward: &mut Forward| baseline.divergences(forward, tokens.judged(), &states);
        Ok(by_stratum(&self.master.with_kv(forward, format, run)?, tokens.strata))
    }

    /// The device beside the weights, for the losses measured.
    pub fn device(&self, losses: &[CacheLoss], strata: &[String]) -> anyhow::Result<Device> {
        // Activations take the same bytes whatever the weights' formats, so that every plan has the arena of the one in f16,
        // which suits every shape and target, or less than where every fused linear is apart.
        let spec = self.lowered_by(Recipe::uniform(Format::F16))?;
        // A target that cannot put results together holds no fused linear apart.
        let parts = legal_ops(self.options.target).contains(&OpKind::Concat);
        let apart = if parts { self.lowered_by(apart())?.arena_bytes } else { spec.arena_bytes };
        let cost = |loss: &CacheLoss| KvCost {
            bytes: kv_bytes(&spec, loss.format),
            loss: FormatCost {
                format: loss.format,
                nats: loss.divergence.nats,
                strata: strata.iter().map(|name| stratum(&loss.divergence.strata, name)).collect(),
            },
        };
        let kv = losses.iter().map(cost).collect();
        Ok(Device { arena_bytes: spec.arena_bytes, split_arena_bytes: apart, kv })
    }

    fn lowered_by(&self, recipe: Recipe) -> anyhow::Result<PlanSpec> {
        let recipe = LoadedRecipe { source: recipe.name.clone(), recipe };
        let options = CompileOptions { recipe, ..self.options.clone() };
        let Lowered { spec, .. } = lower_model(self.source, &options, Phase::Planned, &mut |_, _| {})?;
        Ok(spec.expect("lowered to the end"))
    }
}

/// A recipe by which the members of every fused linear differ.
fn apart() -> Recipe {
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
