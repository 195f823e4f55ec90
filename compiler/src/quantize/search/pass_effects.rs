//! What each quality pass did to this very model: before it against after it.

use samp_abi::plan::TensorId;
use samp_passes::QuantOptions;

use super::{BaselineModel, solve::Search};
use crate::{
    compile::CompileOptions,
    lower::PlanSpec,
    quantize::{EFFECT_TOKENS, PassEffect, ProgramPair, Shape},
};

impl Search<'_> {
    /// The effects of the passes that keep the function, in their order, on weights rounded to the formats of `plan`. Each
    /// stage of the model takes reading its weights anew, but the last, which `programs` hold.
    pub fn shaping(&self, programs: &mut ProgramPair, plan: &PlanSpec) -> anyhow::Result<Vec<PassEffect>> {
        let BaselineModel { spec: last, source, import, .. } = self.router.master;
        let (mut effects, options) = (vec![], self.router.options);
        let Some(batch) = self.data.0.first().map(|batch| batch.beginning(EFFECT_TOKENS)) else {
            return Ok(effects);
        };
        let mut before: Option<(PlanSpec, Shape)> = None;
        for (pass, quality) in stages(options.quality) {
            let options = CompileOptions { quality, ..options.clone() };
            let (tokens, kv) = (last.limits.max_tokens, last.kv.format);
            let (spec, _) = BaselineModel::lowered(source, &options, tokens, kv)?;
            if before.as_ref().is_some_and(|(before, _)| same(before, &spec)) {
                continue;
            }
            let shape = if same(last, &spec) {
                Shape::of(&mut programs.original, (last, plan), &batch)?
            } else {
                let stage =
                    BaselineModel { spec: spec.clone(), warnings: vec![], import, source, options: &options };
                Shape::of(&mut stage.forward(self.work)?, (&spec, plan), &batch)?
            };
            if let Some((earlier, shaped)) = &before {
                let changed = |id: TensorId| {
                    let [a, b] = [earlier, &spec].map(|spec| &spec.tensors[id.0 as usize].transforms);
                    a != b
                };
                effects.push(shaped.effect(pass, &shape, &changed));
            }
            before = Some((spec, shape));
        }
        Ok(effects)
    }
}

/// The passes that keep the function, each with all that is done up to it; first none.
fn stages(quality: QuantOptions) -> [(&'static str, QuantOptions); 4] {
    let fold = QuantOptions { fold_norms: quality.fold_norms, ..QuantOptions::NONE };
    let equalize = QuantOptions { equalize: quality.equalize, ..fold };
    let rotate = QuantOptions { rotate: quality.rotate, ..equalize };
    [("", QuantOptions::NONE), ("fold_norms", fold), ("equalize", equalize), ("rotate", rotate)]
}

fn same(a: &PlanSpec, b: &PlanSpec) -> bool {
    a.tensors.iter().map(|t| &t.transforms).eq(b.tensors.iter().map(|t| &t.transforms))
}
