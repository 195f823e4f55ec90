//! Uniform plans that are no larger than the one that was solved for: audited like it, and taken where they lose less.

use samp_abi::{Format, Layout};
use samp_passes::Decision;
use samp_runtime::Progress;

use super::{measured::Measured, stages::Audited};
use crate::{
    certificate::{Uniform, tried_formats},
    quantize::{error::QuantizeError, measure_options::SensitivityMode},
};

/// One format for all decoder linears; embedding and head as decided.
struct UniformCandidate {
    format: Format,
    formats: Vec<(String, Format)>,
    predicted_nats: f64,
}

impl Audited {
    /// Audits uniform plans; one that keeps every constraint and loss limit and loses less than this one takes its place.
    pub(super) fn compare_with_uniform(
        &mut self,
        progress: &dyn Progress,
    ) -> Result<Vec<Uniform>, QuantizeError> {
        let mut audited = vec![];
        for UniformCandidate { format, formats, .. } in self.measured.worth_auditing(&self.decision) {
            let recipe = self.measured.recipe_of(&formats, self.decision.recipe.kv);
            let (folder, batches) = (format!("uniform-{format}"), self.measured.batches.len());
            let stage = format!("rounding uniform {format}, which is no larger");
            let mut plan = self.measured.round(&recipe, [&folder, &stage], batches, progress)?;
            let mut found = self.measured.audit(&plan, progress)?;
            audited.push(Uniform {
                format,
                bits_per_weight: plan.spec.bits_per_weight(),
                kl_nats: found.overall.kl_nats,
            });
            let better = found.overall.kl_nats < self.found.overall.kl_nats;
            let kept = self.measured.request.loss_limits.violation(&found).is_none();
            if better && kept && self.decision.admits(&formats) {
                progress.note("the uniform plan loses less and is taken");
                std::mem::swap(&mut self.plan, &mut plan);
                std::mem::swap(&mut self.found, &mut found);
                (self.decision.recipe, self.decision.formats) = (recipe, formats);
            }
            plan.weights.clear().map_err(QuantizeError::Store)?;
        }
        Ok(audited)
    }
}

impl Measured {
    /// Exact measurements are followed by an audit of every uniform plan within the constraints, others by that of the plan
    /// with the least predicted loss alone.
    fn worth_auditing(&self, decision: &Decision) -> Vec<UniformCandidate> {
        let mut candidates = self.no_larger(decision);
        match self.request.measure.mode {
            SensitivityMode::Exact => candidates.retain(|candidate| decision.admits(&candidate.formats)),
            SensitivityMode::Fisher | SensitivityMode::Fast => {
                // A stable sort: of equals the format asked for first.
                candidates.sort_by(|a, b| a.predicted_nats.total_cmp(&b.predicted_nats));
                candidates.truncate(1);
            }
        }
        candidates
    }

    /// The uniform plans that are no larger than the decision and not the decision itself.
    fn no_larger(&self, decision: &Decision) -> Vec<UniformCandidate> {
        let Some(most) = self.bytes(&decision.formats) else { return vec![] };
        let mut candidates: Vec<UniformCandidate> = vec![];
        for &format in &self.request.measure.formats {
            let Some(candidate) = self.uniform(format, decision) else { continue };
            let formats = &candidate.formats;
            let known = *formats == decision.formats || candidates.iter().any(|c| c.formats == *formats);
            if !known && self.bytes(formats).is_some_and(|bytes| bytes <= most) {
                candidates.push(candidate);
            }
        }
        candidates
    }

    /// Every decoder linear, fused, in `format` as far as it has outlier columns to keep, with the sum of the measured losses;
    /// `None` where a weight was not measured in its format.
    fn uniform(&self, format: Format, decision: &Decision) -> Option<UniformCandidate> {
        let decided = |key: &str| decision.formats.iter().find(|(own, _)| own == key).map(|own| own.1);
        let (mut formats, mut nats) = (vec![], vec![]);
        for weight in &self.known.weights {
            let inside = weight.key.starts_with("layers.");
            let own = if inside {
                tried_formats(&[format], !weight.outliers.is_empty())[0]
            } else {
                decided(&weight.key)?
            };
            nats.push(weight.formats.iter().find(|cost| cost.format == own)?.nats);
            formats.push((weight.key.clone(), own));
        }
        Some(UniformCandidate { format, formats, predicted_nats: nats.iter().sum() })
    }

    /// What weights, or members of them, take in these formats.
    fn bytes(&self, formats: &[(String, Format)]) -> Option<u64> {
        let each = formats.iter().map(|(key, format)| {
            let ([rows, cols], kept) = (self.shape(key)?, self.known.outliers_of(key).len() as u64);
            Some(Layout::RowMajor.bytes_with(*format, rows, cols, kept))
        });
        each.sum()
    }
}
