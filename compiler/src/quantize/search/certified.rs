//! The result of a search: a plan ready to be emitted, with the evidence of what it loses.

use samp_ir::Diagnostic;
use samp_passes::Decision;
use samp_runtime::Progress;

use super::{measured::MeasurementRecord, stages::Audited};
use crate::{
    certificate::{HeldOut, QualityEvidence},
    emit::WorkFolder,
    error_code,
    lower::{ModelSource, PlanSpec, pipeline::Trace},
    quantize::{error::QuantizeError, rounding::RoundedStore},
};

/// A plan ready to be emitted.
pub struct CertifiedPlan {
    /// The checkpoint.
    pub(crate) source: ModelSource,
    /// The plan.
    pub(crate) spec: PlanSpec,
    /// Its rounded weights.
    pub(crate) weights: RoundedStore,
    /// What is known of it.
    pub(crate) evidence: QualityEvidence,
    /// How it was decided.
    pub(crate) decision: Decision,
    /// What the passes did and why.
    pub(crate) trace: Trace,
    /// What to know before relying on it.
    pub(crate) warnings: Vec<Diagnostic>,
    /// Where the rounded weights are, until the plan is written.
    pub(crate) work: WorkFolder,
}

impl Audited {
    /// Compares the plan with uniform plans that are no larger, takes the best, and puts together what is known of it.
    pub fn certify(mut self, progress: &dyn Progress) -> Result<CertifiedPlan, QuantizeError> {
        let uniforms = self.compare_with_uniform(progress)?;
        progress.begin("checking what the quality passes do", 0);
        let mut effects = self.measured.shaping_effects(&self.plan.spec)?;
        progress.end();
        let Audited { measured, decision, plan, found } = self;
        effects.extend(plan.effects);
        let best_uniform = uniforms.iter().min_by(|a, b| a.kl_nats.total_cmp(&b.kl_nats)).cloned();
        let (mut spec, weights) = (plan.spec, plan.weights);
        let fingerprint = weights.fingerprint();
        spec.rounded = Some(fingerprint.clone());
        let MeasurementRecord { calibration, strata, profile, caches, mut warnings, reused } =
            measured.record;
        warnings.extend(plan.warnings);
        warnings.extend(reused);
        warnings.extend(unseen_strata(&strata, &found));
        let evidence = QualityEvidence {
            calibration,
            profile,
            kv: caches,
            rounds: measured.rounds,
            held_out: found,
            best_uniform,
            uniforms,
            effects,
            rounded: fingerprint,
        };
        let (source, work) = (measured.model.source, measured.work);
        Ok(CertifiedPlan { source, spec, weights, evidence, decision, trace: plan.trace, warnings, work })
    }
}

/// Warns of strata that the audit has and the calibration has not: what was decided for others need not suit them.
fn unseen_strata(calibration: &[String], held_out: &HeldOut) -> Option<Diagnostic> {
    let unseen: Vec<&str> =
        held_out.strata.keys().filter(|s| !calibration.contains(s)).map(String::as_str).collect();
    let seen = held_out.strata.iter().filter(|(name, _)| calibration.contains(name));
    let best = seen.map(|(_, quality)| quality.kl_nats).fold(f64::INFINITY, f64::min);
    let finding = Diagnostic::bad_input(
        error_code::UNSEEN_STRATUM,
        format!(
            "expected every stratum of the audit among the calibration's, found none of {}",
            unseen.join(", ")
        ),
    );
    let compare = |finding: Diagnostic, name: &&str| {
        let loss = held_out.strata[*name].kl_nats;
        let times = if best.is_finite() {
            format!(", {:.1} times that of one calibrated on", loss / best)
        } else {
            String::new()
        };
        finding.note(format!("{name}: {loss:.6} nats per token{times}"))
    };
    let finding = unseen.iter().fold(finding.warning(), compare);
    (!unseen.is_empty()).then(|| finding.hint("add records of these strata to the calibration data"))
}
