//! Uniform plans that are no larger than the one that was solved for: audited like it, and taken where they lose less.

use samp_abi::{Format, Layout};
use samp_passes::Decision;

use super::{
    bits_per_weight,
    solve::{Candidate, Search},
};
use crate::{
    certificate::Uniform,
    quantize::{ProgramPair, SensitivityMode, tried},
};

/// One format for all decoder linears; embedding and head as decided.
struct UniformCandidate {
    format: Format,
    formats: Vec<(String, Format)>,
    predicted_nats: f64,
}

impl Search<'_> {
    /// Audits uniform plans; one that keeps every limit and promise and loses less than `best` takes its place.
    pub fn uniform_candidates(
        &self,
        programs: &mut ProgramPair,
        decision: &mut Decision,
        best: &mut Candidate,
    ) -> anyhow::Result<Vec<Uniform>> {
        let mut audited = vec![];
        for UniformCandidate { format, formats, .. } in self.worth_auditing(decision) {
            (self.say)(&format!("auditing uniform {format}, which is no larger"));
            let recipe = self.recipe_of(&formats, decision.recipe.kv);
            let mut rival = self.audited(programs, &recipe, &format!("uniform-{format}"))?;
            audited.push(Uniform {
                format,
                bits_per_weight: bits_per_weight(&rival.spec),
                kl_nats: rival.held.overall.kl_nats,
            });
            let better = rival.held.overall.kl_nats < best.held.overall.kl_nats;
            let kept = self.router.route.promise.excess(&rival.held).is_none();
            if better && kept && decision.admits(&formats) {
                (self.say)("the uniform plan loses less and is taken");
                std::mem::swap(best, &mut rival);
                (decision.recipe, decision.formats) = (recipe, formats);
            }
            rival.rounded.clear()?;
        }
        Ok(audited)
    }

    /// Exact measurements are followed by an audit of every uniform plan within the limits, fast ones by that of the plan
    /// with the least predicted loss alone.
    fn worth_auditing(&self, decision: &Decision) -> Vec<UniformCandidate> {
        let mut uniform_candidates = self.no_larger(decision);
        match self.router.route.measure.mode {
            SensitivityMode::Exact => uniform_candidates.retain(|rival| decision.admits(&rival.formats)),
            SensitivityMode::Fast => {
                // A stable sort: of equals the format asked for first.
                uniform_candidates.sort_by(|a, b| a.predicted_nats.total_cmp(&b.predicted_nats));
                uniform_candidates.truncate(1);
            }
        }
        uniform_candidates
    }

    /// The uniform plans that are no larger than the decision and not the decision itself.
    fn no_larger(&self, decision: &Decision) -> Vec<UniformCandidate> {
        let Some(most) = self.bytes(&decision.formats) else { return vec![] };
        let mut uniform_candidates: Vec<UniformCandidate> = vec![];
        for &format in &self.router.route.measure.formats {
            let Some((predicted_nats, formats)) = self.uniform(format, decision) else { continue };
            let known = formats == decision.formats
                || uniform_candidates.iter().any(|rival| rival.formats == formats);
            if !known && self.bytes(&formats).is_some_and(|bytes| bytes <= most) {
                uniform_candidates.push(UniformCandidate { format, formats, predicted_nats });
            }
        }
        uniform_candidates
    }

    /// Every decoder linear, members together, in `format` as far as it has outlier columns to keep apart, with the sum of the
    /// measured losses; `None` where a weight was not measured in its format.
    fn uniform(&self, format: Format, decision: &Decision) -> Option<(f64, Vec<(String, Format)>)> {
        let decided = |key: &str| decision.formats.iter().find(|(own, _)| own == key).map(|own| own.1);
        let each = self.known.weights.iter().map(|weight| {
            let inside = weight.key.starts_with("layers.");
            let own =
                if inside { tried(&[format], !weight.outliers.is_empty())[0] } else { decided(&weight.key)? };
            let cost = weight.formats.iter().find(|cost| cost.format == own)?;
            Some((cost.nats, (weight.key.clone(), own)))
        });
        let each: Vec<(f64, (String, Format))> = each.collect::<Option<_>>()?;
        let (nats, formats): (Vec<f64>, Vec<(String, Format)>) = each.into_iter().unzip();
        Some((nats.iter().sum(), formats))
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
