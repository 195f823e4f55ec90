//! Uniform plans that are no larger than the one that was solved for: audited like it, and taken where they lose less.

use samp_abi::{Format, Layout};
use samp_passes::Decision;

use super::{
    bits_per_weight,
    settle::{Candidate, Search},
};
use crate::{
    calibrate::{Programs, Thoroughness, tried},
    emit::Uniform,
};

/// One format for all decoder linears; embedding and head as decided.
struct Rival {
    format: Format,
    formats: Vec<(String, Format)>,
    predicted_nats: f64,
}

impl Search<'_> {
    /// Audits uniform plans; one that keeps every limit and promise and loses less than `best` takes its place.
    pub fn rivals(
        &self,
        programs: &mut Programs,
        decision: &mut Decision,
        best: &mut Candidate,
    ) -> anyhow::Result<Vec<Uniform>> {
        let mut audited = vec![];
        for Rival { format, formats, .. } in self.worth_auditing(decision) {
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
    fn worth_auditing(&self, decision: &Decision) -> Vec<Rival> {
        let mut rivals = self.no_larger(decision);
        match self.router.route.measure.thoroughness {
            Thoroughness::Exact => rivals.retain(|rival| decision.admits(&rival.formats)),
            Thoroughness::Fast => {
                // A stable sort: of equals the format asked for first.
                rivals.sort_by(|a, b| a.predicted_nats.total_cmp(&b.predicted_nats));
                rivals.truncate(1);
            }
        }
        rivals
    }

    /// The uniform plans that are no larger than the decision and not the decision itself.
    fn no_larger(&self, decision: &Decision) -> Vec<Rival> {
        let Some((_, most)) = self.predicted_cost(&decision.formats) else { return vec![] };
        let mut rivals: Vec<Rival> = vec![];
        for &format in &self.router.route.measure.formats {
            let formats: Vec<(String, Format)> =
                decision.formats.iter().map(|own| self.replaced(own, format)).collect();
            let known = formats == decision.formats || rivals.iter().any(|rival| rival.formats == formats);
            let Some((predicted_nats, bytes)) = self.predicted_cost(&formats) else { continue };
            if bytes <= most && !known {
                rivals.push(Rival { format, formats, predicted_nats });
            }
        }
        rivals
    }

    /// A decoder linear in `format`, as far as it has outlier columns to keep apart.
    fn replaced(&self, (key, own): &(String, Format), format: Format) -> (String, Format) {
        if !key.starts_with("layers.") {
            return (key.clone(), *own);
        }
        let measured = self.known.weights.iter().find(|w| w.key == *key);
        (key.clone(), tried(&[format], measured.is_some_and(|w| !w.outliers.is_empty()))[0])
    }

    /// The sum of the measured losses, and the bytes; `None` where a weight was not measured in its format.
    fn predicted_cost(&self, formats: &[(String, Format)]) -> Option<(f64, u64)> {
        let (mut nats, mut bytes) = (0.0, 0);
        for (key, format) in formats {
            let measured = self.known.weights.iter().find(|w| w.key == *key)?;
            let weight = self.router.master.spec.tensors.iter().find(|t| t.name == *key)?;
            nats += measured.formats.iter().find(|f| f.format == *format)?.nats;
            let kept = measured.outliers.len() as u64;
            bytes += Layout::RowMajor.bytes_with(*format, weight.rows, weight.cols, kept);
        }
        Some((nats, bytes))
    }
}
