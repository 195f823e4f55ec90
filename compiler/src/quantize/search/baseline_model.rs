//! The baseline that losses are measured against: a checkpoint as an f32 program with the function-preserving transforms.

use std::path::Path;

use samp_abi::{Format, TargetName};
use samp_ir::{Diagnostic, Phase};
use samp_passes::{QuantOptions, Rounding, recipe::Recipe};

use crate::{
    import::Checkpoint,
    lower::{LowerOptions, Lowered, Measurements, ModelSource, PlanSpec, lower_model, recipe::LoadedRecipe},
    quantize::{
        baseline::BaselineWeights, data::TokenRecord, equalization_scales::EqualizationScales,
        error::QuantizeError, forward::Forward,
    },
};

/// Tokens of one pass over the f32 program: so many at least,
const LEAST_TOKENS: u64 = 512;
/// at most,
const MOST_TOKENS: u64 = 2048;
/// and no more between these than give so many logits, which are most of the memory that a pass takes.
const PASS_LOGITS: u64 = 1 << 25;

/// A checkpoint, what it is compiled for, and its f32 program.
pub(super) struct BaselineModel {
    /// Has weights.
    pub source: ModelSource,
    /// What the plan is lowered for.
    pub options: LowerOptions,
    /// The f32 program, with keys and values in f32.
    pub spec: PlanSpec,
    /// What lowering the f32 program warned of.
    pub warnings: Vec<Diagnostic>,
}

impl BaselineModel {
    /// The f32 program for passes over any of these records.
    pub(super) fn new(
        source: ModelSource,
        options: LowerOptions,
        records: &[&[TokenRecord]],
    ) -> Result<BaselineModel, QuantizeError> {
        if source.import().is_none() {
            return Err(QuantizeError::NoWeights);
        }
        let longest =
            records.iter().flat_map(|records| records.iter()).map(|record| record.tokens.len()).max();
        let f32_options = LowerOptions {
            kv: Some(Format::F32),
            max_context: options.max_context,
            max_tokens: pass_tokens(source.config().model.vocab_size).max(longest.unwrap_or(0) as u64),
            quality: shaping(options.quality),
            ..LowerOptions::new(TargetName::Cpu, f32_recipe())
        };
        let Lowered { spec, warnings, .. } =
            lower_model(&source, &f32_options, &Measurements::default(), Phase::Planned, &[])?;
        Ok(BaselineModel { spec: spec.expect("lowered to the end"), source, options, warnings })
    }

    /// The same program after other quality passes, and with keys and values in another format.
    pub(super) fn lower_variant(
        &self,
        quality: QuantOptions,
        kv: Format,
        measurements: &Measurements,
    ) -> Result<PlanSpec, Diagnostic> {
        let options = LowerOptions {
            kv: Some(kv),
            max_context: self.options.max_context,
            max_tokens: self.spec.limits.max_tokens,
            quality: shaping(quality),
            ..LowerOptions::new(TargetName::Cpu, f32_recipe())
        };
        crate::lower::lower_to_spec(&self.source, &options, measurements)
    }

    /// Does something with the weights of `forward` while keys and values are kept as `kv`, with the scales that were
    /// measured.
    pub(super) fn with_kv<T>(
        &self,
        forward: &mut Forward,
        kv: Format,
        measurements: &Measurements,
        run: impl FnOnce(&mut Forward) -> Result<T, QuantizeError>,
    ) -> Result<T, QuantizeError> {
        if kv == self.spec.kv.format {
            return run(forward);
        }
        let spec = self.lower_variant(self.options.quality, kv, measurements)?;
        let mut cached = Forward::new(&spec, BaselineWeights::default())?;
        std::mem::swap(forward.weights_mut(), cached.weights_mut());
        let result = run(&mut cached);
        std::mem::swap(forward.weights_mut(), cached.weights_mut());
        result
    }

    /// The program of `spec`, a variant of this one, ready to run, with its weights in nameless files in the folder `work`.
    pub(super) fn forward(&self, spec: &PlanSpec, work: &Path) -> Result<Forward, QuantizeError> {
        std::fs::create_dir_all(work)
            .map_err(|source| QuantizeError::Folder { path: work.into(), source })?;
        let equalization = EqualizationScales::by_rms(spec, self.checkpoint())?;
        let weights = BaselineWeights::load(spec, self.checkpoint(), &equalization, work)?;
        Ok(Forward::new(spec, weights)?)
    }

    /// The weights' files.
    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.source.import().expect("only a source with weights has a baseline").checkpoint
    }

    /// Tokens of one pass.
    pub(super) fn pass_tokens(&self) -> usize {
        self.spec.limits.max_tokens as usize
    }

    /// Tokens of a page of the KV cache.
    pub(super) fn page_tokens(&self) -> usize {
        self.spec.kv.page_tokens as usize
    }
}

/// Tokens of a pass over records that are no longer.
fn pass_tokens(vocab: u64) -> u64 {
    (PASS_LOGITS / vocab.max(1)).clamp(LEAST_TOKENS, MOST_TOKENS)
}

fn f32_recipe() -> LoadedRecipe {
    let recipe = Recipe::uniform(Format::F32);
    LoadedRecipe { source: recipe.name.clone(), recipe }
}

/// Of some quality passes those that keep the function.
fn shaping(quality: QuantOptions) -> QuantOptions {
    QuantOptions { correct: false, rounding: Rounding::Nearest, ..quality }
}
