//! What a plan's certificate claims, measured again.

use std::path::Path;

use anyhow::{Context, bail};
use samp_abi::plan::Plan;
use samp_runtime::Silent;

use super::finding::Finding;
use crate::{device_args::DeviceArgs, plan_model::PlanModel};
use samp_compiler::{
    certificate::{Certificate, StratumQuality},
    compile::device_on_cpu,
    emit::CERTIFICATE_FILE,
    eval::{LanguageModel, Scores, evaluate, read_records},
};

/// One-sided 95 % of a normal distribution, in standard errors.
const CONFIDENCE: f64 = 1.645;

/// Evaluates the plan on `data` against the unquantized `model`. What contradicts the certificate is found: formats other
/// than those it names, and losses that lie above its bounds by more than their own uncertainty. Strata that it does not
/// know are not judged.
pub fn check(dir: &Path, data: &Path, model: &Path) -> anyhow::Result<Vec<Finding>> {
    let plan = samp_runtime::open(dir)?;
    let bytes = plan.file(CERTIFICATE_FILE).with_context(|| format!("the plan has no {CERTIFICATE_FILE}"))?;
    let certificate: Certificate = serde_json::from_slice(bytes)
        .with_context(|| format!("{CERTIFICATE_FILE}: expected a certificate of this version of samp"))?;
    let Some(quality) = &certificate.quality else {
        bail!("{}: its formats follow a recipe, so its certificate promises no quality", dir.display());
    };
    let mut findings = formats(plan.manifest(), &certificate);
    let device = DeviceArgs::for_device(device_on_cpu(plan.manifest().target));
    drop(plan);
    let records = read_records(data)?;
    let mut measured = PlanModel::open(dir, device)?;
    let context = measured.max_context() as u64;
    let mut original = PlanModel::open_plan_or_checkpoint(model, device, context)?;
    let found = evaluate(&mut measured, Some(&mut original), &records, None, &Silent)?;
    findings.extend(compare("overall", &quality.held_out.overall, &found.overall));
    for (name, certified) in &quality.held_out.strata {
        findings.extend(found.strata.get(name).and_then(|scores| compare(name, certified, scores)));
    }
    Ok(findings)
}

/// Tensors whose format is not the certificate's.
fn formats(plan: &Plan, certificate: &Certificate) -> Vec<Finding> {
    let assigned = |name: &str| certificate.tensors.iter().find(|t| t.name == name).map(|t| t.format);
    let wrong = plan.tensors.iter().filter(|tensor| assigned(&tensor.name) != Some(tensor.format));
    let finding = |tensor: &samp_abi::plan::Tensor| {
        let expected = assigned(&tensor.name).map_or("no such tensor".into(), |format| format.to_string());
        let problem = format!("{}: expected {expected}, found {}", tensor.name, tensor.format);
        Finding::new("certificate_format", CERTIFICATE_FILE, problem)
    };
    wrong.map(finding).collect()
}

/// The loss of a stratum, where it is more than was certified.
fn compare(stratum: &str, certified: &StratumQuality, found: &Scores) -> Option<Finding> {
    let kl = found.kl_nats?;
    let least = kl.mean - CONFIDENCE * kl.standard_error.unwrap_or(0.0);
    (least > certified.kl_nats_at_most).then(|| {
        let problem = format!(
            "{stratum}: expected a divergence of at most {:.6} nats per token, found {:.6} ({least:.6} or more, \
             one-sided 95 %) over {} records",
            certified.kl_nats_at_most, kl.mean, found.records
        );
        Finding::new("certificate_quality", CERTIFICATE_FILE, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use samp_compiler::eval::Estimate;

    #[test]
    fn losses_above_the_bound_by_more_than_their_uncertainty_are_found() {
        let certified = StratumQuality {
            records: 10,
            tokens: 1000,
            kl_nats: 0.0010,
            kl_nats_at_most: 0.0011,
            perplexity_ratio: 1.0,
            perplexity_ratio_at_most: 1.001,
        };
        let scores = |mean: f64, standard_error: f64| Scores {
            records: 5,
            truncated: 0,
            skipped: 0,
            tokens: 500,
            perplexity: None,
            baseline_perplexity: None,
            kl_nats: Some(Estimate { mean, standard_error: Some(standard_error) }),
            top1_agreement: None,
            choice_accuracy: None,
        };
        assert!(compare("code", &certified, &scores(0.0010, 0.0)).is_none());
        assert!(compare("code", &certified, &scores(0.0012, 0.0001)).is_none());
        let finding = compare("code", &certified, &scores(0.0020, 0.0001)).unwrap();
        assert!(finding.line.contains("code") && finding.line.contains("0.0011"), "{}", finding.line);
    }
}
