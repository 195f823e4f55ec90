//! What each quality pass that keeps the function did to this very model: before it against after it.

use samp_abi::plan::TensorId;
use samp_passes::QuantOptions;

use super::measured::Measured;
use crate::{
    certificate::PassEffect,
    lower::PlanSpec,
    quantize::{
        error::QuantizeError,
        rounding::{EFFECT_TOKENS, FunctionSnapshot},
        token_batch::TokenBatch,
    },
};

/// A quality pass, and all passes up to it.
struct Stage {
    /// The last pass; empty of the stage before any.
    pass: &'static str,
    quality: QuantOptions,
}

impl Measured {
    /// The effects of the passes that keep the function, in their order, on weights rounded to the formats of `plan`. Each
    /// stage of the model takes reading its weights anew, but the last, which the programs hold.
    pub(super) fn shaping_effects(&mut self, plan: &PlanSpec) -> Result<Vec<PassEffect>, QuantizeError> {
        let mut effects = vec![];
        let Some(batch) = self.batches.first().map(|batch| batch.beginning(EFFECT_TOKENS)) else {
            return Ok(effects);
        };
        let mut before: Option<(PlanSpec, FunctionSnapshot)> = None;
        for Stage { pass, quality } in stages(self.model.options.quality) {
            let kv = self.model.spec.kv.format;
            let spec = self.model.lower_variant(quality, kv, &self.measurements)?;
            if before.as_ref().is_some_and(|(before, _)| same_transforms(before, &spec)) {
                continue;
            }
            let snapshot = self.snapshot(&spec, plan, &batch)?;
            if let Some((earlier, earlier_snapshot)) = &before {
                let changed = |id: TensorId| {
                    let [a, b] = [earlier, &spec].map(|spec| &spec.tensors[id.0 as usize].transforms);
                    a != b
                };
                effects.push(earlier_snapshot.effect(pass, &snapshot, &changed));
            }
            before = Some((spec, snapshot));
        }
        Ok(effects)
    }

    /// The model after the passes of `spec`.
    fn snapshot(
        &mut self,
        spec: &PlanSpec,
        plan: &PlanSpec,
        batch: &TokenBatch,
    ) -> Result<FunctionSnapshot, QuantizeError> {
        if same_transforms(&self.model.spec, spec) {
            return FunctionSnapshot::new(&mut self.programs.original, &self.model.spec, plan, batch);
        }
        let mut forward = self.model.forward(spec, self.work.path())?;
        FunctionSnapshot::new(&mut forward, spec, plan, batch)
    }
}

/// The passes that keep the function, each with all that is done up to it; first none.
fn stages(quality: QuantOptions) -> [Stage; 4] {
    let fold = QuantOptions { fold_norms: quality.fold_norms, ..QuantOptions::NONE };
    let equalize = QuantOptions { equalize: quality.equalize, ..fold };
    let rotate = QuantOptions { rotate: quality.rotate, ..equalize };
    let stage = |pass, quality| Stage { pass, quality };
    [
        stage("", QuantOptions::NONE),
        stage("fold_norms", fold),
        stage("equalize", equalize),
        stage("rotate", rotate),
    ]
}

fn same_transforms(a: &PlanSpec, b: &PlanSpec) -> bool {
    a.tensors.iter().map(|t| &t.transforms).eq(b.tensors.iter().map(|t| &t.transforms))
}
