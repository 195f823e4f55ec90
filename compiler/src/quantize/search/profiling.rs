//! Measuring a checkpoint on records, continuing what an interrupted run, or another machine, had measured.

use std::{collections::BTreeMap, ops::Range, path::Path};

use samp_abi::plan::TensorId;
use samp_ir::Diagnostic;
use samp_passes::QuantOptions;
use samp_runtime::Progress;

use super::{
    baseline_model::BaselineModel,
    journal::{self, Conditions, Journal},
};
use crate::{
    certificate::{PROFILE_VERSION, Profile, WeightProfile, layer_of},
    lower::{LowerOptions, ModelSource},
    quantize::{
        calibration_tokens::CalibrationTokens,
        data::TokenRecord,
        error::{QuantizeError, advance},
        forward::Forward,
        measure_options::{MeasureOptions, SensitivityMode},
        sensitivity::{MeasureScope, Measurement, TableWeight},
    },
};

/// What a measurement of a checkpoint, or of a part of it, starts from.
pub(crate) struct ProfileTask<'a> {
    /// The checkpoint.
    pub source: ModelSource,
    /// What it will be compiled for, as far as a measurement depends on that.
    pub options: LowerOptions,
    /// What is measured on.
    pub records: Vec<TokenRecord>,
    /// How it is measured.
    pub measure: MeasureOptions,
    /// These layers alone; the embedding goes with the first, the head with the last.
    pub layers: Option<Range<u64>>,
    /// A folder for what survives an interruption.
    pub work: &'a Path,
}

impl ProfileTask<'_> {
    /// Measures.
    pub(crate) fn run(self, progress: &dyn Progress) -> Result<Profile, QuantizeError> {
        let model = BaselineModel::new(self.source, self.options, &[&self.records])?;
        model.warnings.iter().for_each(|warning| progress.warn(&warning.to_string()));
        let (pass, page) = (model.pass_tokens(), model.page_tokens());
        let tokens = CalibrationTokens::new(&self.records, pass, page, &self.measure);
        let profiling = Profiling {
            model: &model,
            records: &self.records,
            options: &self.measure,
            layers: self.layers.clone(),
        };
        let begun = profiling.begin(self.work, &tokens, None, progress)?;
        progress.begin("loading the unquantized weights", 0);
        let mut forward = model.forward(&model.spec, self.work)?;
        Ok(profiling.run(begun, &mut forward, &tokens, progress)?.profile)
    }
}

/// One measurement.
pub(super) struct Profiling<'a> {
    pub model: &'a BaselineModel,
    /// All records that the tokens are of.
    pub records: &'a [TokenRecord],
    pub options: &'a MeasureOptions,
    pub layers: Option<Range<u64>>,
}

/// Says how many weights are measured, and how many were before.
fn begin_measuring(all: usize, known: usize, progress: &dyn Progress) {
    if known > 0 {
        progress.note(&format!("{known} of {all} weights were measured before"));
    }
    if known < all {
        let weights = if all - known == 1 { "weight" } else { "weights" };
        progress.begin(&format!("measuring {} {weights}", all - known), (all - known) as u64);
    }
}

/// A measurement that may go on: what it will be called, and what is known.
pub(super) struct Begun {
    profile: Profile,
    before: Option<Profile>,
    reused: Option<Diagnostic>,
    known: BTreeMap<String, WeightProfile>,
    journal: Journal,
}

/// What a measurement found.
pub(super) struct Profiled {
    pub profile: Profile,
    /// A warning of what was measured before on other data.
    pub reused: Option<Diagnostic>,
    /// Where more that is measured may be noted.
    pub journal: Journal,
}

impl Profiling<'_> {
    /// Opens the journal in the folder `work`, and takes over what that and `before` have, before the model is run. What
    /// was measured otherwise, and is set aside, is warned of.
    ///
    /// # Errors
    /// `before` is of another model or was measured otherwise.
    pub(super) fn begin(
        &self,
        work: &Path,
        tokens: &CalibrationTokens,
        before: Option<&Profile>,
        progress: &dyn Progress,
    ) -> Result<Begun, QuantizeError> {
        let profile = self.unmeasured(tokens);
        let reused = before.map_or(Ok(None), |before| profile.check_reuse(before))?;
        let conditions = self.named_conditions(&profile);
        let set_aside = |said: &str| progress.warn(said);
        let mut journal = journal::open(work, &profile.fingerprint, &conditions, &set_aside)
            .map_err(QuantizeError::Journal)?;
        let mut known = std::mem::take(&mut journal.weights);
        let earlier = before.map_or(&[][..], |before| &before.weights);
        known.extend(earlier.iter().map(|weight| (weight.key.clone(), weight.clone())));
        Ok(Begun { profile, before: before.cloned(), reused, known, journal })
    }

    /// Measures what is not known; `forward` holds the unquantized weights. Where nothing is left to measure the profile is
    /// the one that was there before.
    pub(super) fn run(
        &self,
        begun: Begun,
        forward: &mut Forward,
        tokens: &CalibrationTokens,
        progress: &dyn Progress,
    ) -> Result<Profiled, QuantizeError> {
        let Begun { mut profile, before, reused, known, journal } = begun;
        let tables = self.tables(forward);
        let contains = |key: &str| self.contains(key);
        let linears: Vec<String> = forward.linears().into_iter().map(|linear| linear.key).collect();
        let keys = tables.iter().map(|table| &table.key).chain(&linears);
        let keys: Vec<&str> = keys.map(String::as_str).filter(|key| contains(key)).collect();
        let in_before =
            |before: &Profile| keys.iter().all(|key| before.weights.iter().any(|w| w.key == *key));
        if let Some(before) = before.filter(in_before) {
            profile = Profile { schema: PROFILE_VERSION, ..before };
        }
        begin_measuring(keys.len(), keys.iter().filter(|key| known.contains_key(**key)).count(), progress);
        let scope = MeasureScope { contains: &contains, known: &known };
        let measurement = Measurement { tokens, options: self.options, scope };
        profile.weights = measurement.run(forward, &tables, &mut |weight| {
            journal.note_weight(weight)?;
            advance(progress, &weight.key)
        })?;
        progress.end();
        Ok(Profiled { profile, reused, journal })
    }

    /// The profile of this measurement before any weight is measured.
    fn unmeasured(&self, tokens: &CalibrationTokens) -> Profile {
        let model = self.model.checkpoint().content_blake3();
        Profile {
            schema: PROFILE_VERSION,
            fingerprint: self.fingerprint(&model, tokens),
            model,
            data: Some(data_blake3(self.records)),
            quality: Some(self.model.options.quality.shaping()),
            rounding: self.options.rounding.transform().map_or("nearest".into(), |t| t.to_string()),
            moment_tokens: tokens.for_hessians().iter().map(|b| b.tokens() as u64).sum(),
            divergence_tokens: tokens.for_divergence().iter().map(|b| b.outputs() as u64).sum(),
            weights: vec![],
        }
    }

    /// What the measurement depends on, by the names of the options that people know.
    fn named_conditions(&self, profile: &Profile) -> Conditions {
        let formats = self.options.formats.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let conditions = [
            ("weights of the checkpoint", profile.model.clone()),
            ("calibration data", profile.data.clone().unwrap_or_default()),
            ("--formats", formats),
            ("--quality", format!("{:?}", self.model.options.quality)),
            ("--sensitivity", format!("{:?}", self.options.mode)),
        ];
        conditions.map(|(name, value)| (name.into(), value)).into()
    }

    /// Whether the weight of this name is measured.
    fn contains(&self, key: &str) -> bool {
        let last = self.model.spec.model.layers - 1;
        let layer = layer_of(key).unwrap_or(if key == "lm_head" { last } else { 0 });
        self.layers.as_ref().is_none_or(|range| range.contains(&layer))
    }

    /// Matrices that no linear reads.
    fn tables(&self, forward: &Forward) -> Vec<TableWeight> {
        let (linears, tensors) = (forward.linears(), &self.model.spec.tensors);
        let ids = (0..tensors.len()).map(|index| TensorId(index as u32));
        let read = |id: TensorId| linears.iter().any(|linear| linear.weight == id);
        ids.zip(tensors)
            .filter(|(id, tensor)| tensor.rows > 1 && !read(*id))
            .map(|(id, tensor)| TableWeight { id, key: tensor.name.clone() })
            .collect()
    }

    fn fingerprint(&self, model: &str, tokens: &CalibrationTokens) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(model.as_bytes());
        for batch in tokens.for_hessians() {
            hasher.update(bytemuck::cast_slice(&batch.token_ids));
            for length in &batch.lengths {
                hasher.update(&(*length as u64).to_le_bytes());
            }
        }
        let rest = conditions(tokens.for_divergence().len(), self.model.options.quality, self.options);
        hasher.update(rest.as_bytes()).finalize().to_hex().to_string()
    }
}

/// The conditions of a measurement as its fingerprint takes them. Profiles are known by this text, so that it stays as it
/// is, whatever the types that it is made of are called.
fn conditions(divergence_batches: usize, quality: QuantOptions, options: &MeasureOptions) -> String {
    let QuantOptions { fold_norms, equalize, rotate, correct, rounding } = quality;
    let MeasureOptions { formats, rounding: measured, mode, divergence_tokens, hessian_tokens } = options;
    let mode = match mode {
        SensitivityMode::Fisher => "Fisher",
        SensitivityMode::Fast => "Fast",
        SensitivityMode::Exact => "Exact",
    };
    format!(
        "{divergence_batches} Quality {{ fold_norms: {fold_norms:?}, equalize: {equalize:?}, rotate: {rotate:?}, \
         correct: {correct:?}, rounding: {rounding:?} }} MeasureOptions {{ formats: {formats:?}, \
         rounding: {measured:?}, thoroughness: {mode}, judged_tokens: {divergence_tokens}, \
         moment_tokens: {hessian_tokens} }}"
    )
}

/// Names records by their tokens.
pub(super) fn data_blake3(records: &[TokenRecord]) -> String {
    let mut hasher = blake3::Hasher::new();
    for record in records {
        let length = record.tokens.len() as u64;
        hasher.update(&length.to_le_bytes()).update(bytemuck::cast_slice(&record.tokens));
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use samp_abi::{Format, Group};
    use samp_passes::Rounding;

    use super::*;

    /// Profiles of earlier versions are continued: their fingerprints were made with this very text.
    #[test]
    fn the_conditions_of_a_measurement_are_written_as_ever() {
        let formats = vec![Format::Nf4, Format::Int4 { group: Group::G64, zero_point: true }, Format::F16];
        let options = MeasureOptions::new(SensitivityMode::Fast, formats, Rounding::Compensate);
        let quality = QuantOptions { rotate: Some(7), ..QuantOptions::ALL };
        assert_eq!(
            conditions(3, quality, &options),
            "3 Quality { fold_norms: true, equalize: true, rotate: Some(7), correct: true, rounding: Compensate } \
             MeasureOptions { formats: [Nf4, Int4 { group: G64, zero_point: true }, F16], rounding: Compensate, \
             thoroughness: Fast, judged_tokens: 4096, moment_tokens: 16384 }"
        );
    }
}
