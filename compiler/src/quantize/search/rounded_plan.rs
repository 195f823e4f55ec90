//! Any assignment of formats as a plan: its weights rounded, and audited.

use std::fs;

use samp_abi::Format;
use samp_ir::{Diagnostic, Phase};
use samp_passes::{
    projection_key,
    recipe::{Recipe, Rule},
};
use samp_runtime::Progress;

use super::measured::Measured;
use crate::{
    certificate::{HeldOut, PassEffect},
    lower::{
        LowerOptions, Lowered, PlanSpec, SourceSpec, lower_model, pipeline::Trace, recipe::LoadedRecipe,
    },
    quantize::{
        error::QuantizeError,
        forward::Forward,
        rounding::{RoundedStore, RoundingTask},
    },
};

/// A plan with its rounded weights.
pub(super) struct RoundedPlan {
    pub spec: PlanSpec,
    /// What its lowering did.
    pub trace: Trace,
    /// What its lowering warned of.
    pub warnings: Vec<Diagnostic>,
    pub weights: RoundedStore,
    /// What the passes did that work on rounding.
    pub effects: Vec<PassEffect>,
}

impl Measured {
    /// Rounds every weight as the recipe says under the first `batches`, and keeps them in a folder of this name;
    /// `stage` is what `progress` hears of.
    pub(super) fn round(
        &mut self,
        recipe: &Recipe,
        [folder, stage]: [&str; 2],
        batches: usize,
        progress: &dyn Progress,
    ) -> Result<RoundedPlan, QuantizeError> {
        let dir = self.work.path().join(folder);
        fs::create_dir_all(&dir).map_err(|source| QuantizeError::Folder { path: dir.clone(), source })?;
        let recipe = LoadedRecipe { source: recipe.to_toml(), recipe: recipe.clone() };
        let options = LowerOptions { recipe, ..self.model.options.clone() };
        let Lowered { spec, trace, warnings, .. } =
            lower_model(&self.model.source, &options, &self.measurements, Phase::Planned, &[])?;
        let spec = spec.expect("lowered to the end");
        let mut weights = RoundedStore::new(&dir);
        let batches = &self.batches[..batches];
        let task = RoundingTask { baseline: &self.model.spec, plan: &spec, batches, stage };
        let effects = task.run(&mut self.programs, &mut weights, progress)?;
        Ok(RoundedPlan { spec, trace, warnings, weights, effects })
    }

    /// What the plan loses that was rounded last. Its own format of keys and values is a part of that.
    pub(super) fn audit(
        &mut self,
        plan: &RoundedPlan,
        progress: &dyn Progress,
    ) -> Result<HeldOut, QuantizeError> {
        let run = |forward: &mut Forward| self.audit.run(forward, progress);
        self.model.with_kv(&mut self.programs.rounded, plan.spec.kv.format, &self.measurements, run)
    }

    /// Rows and columns of a weight, or of a member of one.
    pub(super) fn shape(&self, key: &str) -> Option<[u64; 2]> {
        let tensors = &self.model.spec.tensors;
        if let Some(fused) = tensors.iter().find(|tensor| tensor.name == key) {
            return Some([fused.rows, fused.cols]);
        }
        let mut sources = tensors.iter().flat_map(|tensor| &tensor.sources);
        let member = sources.find(|source| projection_key(&source.name) == key)?;
        Some([*member.shape.first()?, *member.shape.last()?])
    }

    /// The recipe that gives weights, or members of them, these formats.
    pub(super) fn recipe_of(&self, formats: &[(String, Format)], kv: Option<Format>) -> Recipe {
        let tensors = &self.model.spec.tensors;
        let rules = formats.iter().flat_map(|(key, format)| {
            let rule = |key: &str| Rule { pattern: key.into(), format: *format };
            let source = |source: &SourceSpec| rule(projection_key(&source.name));
            match tensors.iter().find(|tensor| tensor.name == *key) {
                Some(fused) => fused.sources.iter().map(source).collect(),
                None => vec![rule(key)],
            }
        });
        Recipe { name: "measured".into(), kv, rules: rules.collect() }
    }
}
