//! What a plan's certificate claims, measured again.

use std::path::Path;

use samp_abi::plan::{MANIFEST_FILE, Plan};
use samp_runtime::Silent;

use super::finding::Finding;
use crate::{device_args::DeviceArgs, error_code, failure::Failure, plan_certificate, plan_model::PlanModel};
use samp_compiler::{
    certificate::{Certificate, HeldOut, QualityEvidence, StratumQuality},
    compile::device_on_cpu,
    emit::CERTIFICATE_FILE,
    eval::{Evaluation, LanguageModel, Scores, evaluate, read_records},
    lower::ModelSource,
};

/// Evaluates the plan on `data` against the unquantized `model`. What contradicts the certificate is found: formats other
/// than those it names, and losses that with 95 % confidence lie above its bounds. What it bounds and the data cannot judge
/// is found, too: an unfit file confirms nothing. Strata that the certificate does not know are not judged.
pub fn check(dir: &Path, data: &Path, model: &Path) -> anyhow::Result<Vec<Finding>> {
    let plan = samp_runtime::open(dir)?;
    let certificate = plan_certificate::read(&plan)?.ok_or_else(|| plan_certificate::missing(dir))?;
    let Some(quality) = &certificate.quality else {
        let message =
            format!("{}: its formats follow a recipe, so its certificate promises no quality", dir.display());
        return Err(Failure::new(error_code::NO_PROMISE, message).into());
    };
    let mut findings = formats(plan.manifest(), &certificate);
    findings.extend(other_model(quality, model)?);
    let device = DeviceArgs::for_device(device_on_cpu(plan.manifest().target));
    drop(plan);
    let records = read_records(data)?;
    let mut measured = PlanModel::open(dir, device)?;
    let context = measured.max_context() as u64;
    let mut original = PlanModel::open_plan_or_checkpoint(model, device, context)?;
    let found = evaluate(&mut measured, Some(&mut original), &records, None, &Silent)?;
    findings.extend(losses(&quality.held_out, &found));
    Ok(findings)
}

/// That `model` is a checkpoint, and not the one that the certificate compares with.
fn other_model(quality: &QualityEvidence, model: &Path) -> anyhow::Result<Option<Finding>> {
    if model.join(MANIFEST_FILE).is_file() {
        return Ok(None);
    }
    let source = ModelSource::open(model)?;
    let found = source.import().map(|import| import.checkpoint.content_blake3());
    let other = found.filter(|found| *found != quality.profile.model);
    Ok(other.map(|found| {
        let expected = &quality.profile.model;
        let model = model.display();
        let problem = format!("{model}: expected the checkpoint with BLAKE3 {expected}, found {found}");
        Finding::new(error_code::CERTIFICATE_MODEL, CERTIFICATE_FILE, problem)
    }))
}

/// Tensors whose format is not the certificate's.
fn formats(plan: &Plan, certificate: &Certificate) -> Vec<Finding> {
    let assigned = |name: &str| certificate.tensors.iter().find(|t| t.name == name).map(|t| t.format);
    let wrong = plan.tensors.iter().filter(|tensor| assigned(&tensor.name) != Some(tensor.format));
    let finding = |tensor: &samp_abi::plan::Tensor| {
        let expected = assigned(&tensor.name).map_or("no such tensor".into(), |format| format.to_string());
        let problem = format!("{}: expected {expected}, found {}", tensor.name, tensor.format);
        Finding::new(error_code::CERTIFICATE_FORMAT, CERTIFICATE_FILE, problem)
    };
    wrong.map(finding).collect()
}

/// What contradicts the certified losses, and what could not be judged: stratum by stratum, then overall.
fn losses(certified: &HeldOut, found: &Evaluation) -> Vec<Finding> {
    let strata = certified.strata.iter();
    let mut findings: Vec<Finding> =
        strata.flat_map(|(name, certified)| stratum(name, certified, found.strata.get(name))).collect();
    findings.extend(overall(certified, found));
    findings
}

/// The losses of a stratum that are more than was certified, or why that is not known.
fn stratum(name: &str, certified: &StratumQuality, found: Option<&Scores>) -> Vec<Finding> {
    let (Some(kl_at_most), Some(ratio_at_most)) =
        (certified.kl_nats_at_most, certified.perplexity_ratio_at_most)
    else {
        return vec![];
    };
    let bounds = |scores: &Scores| Some((scores.kl_nats?, scores.perplexity_ratio?));
    let Some((kl, ratio)) = found.and_then(bounds) else {
        return vec![unchecked(name, "no text of it")];
    };
    let (Some(kl_at_least), Some(ratio_at_least)) = (kl.at_least, ratio.at_least) else {
        return vec![unchecked(name, "one text of it, which bounds nothing")];
    };
    let divergence = (kl_at_least > kl_at_most).then(|| {
        let shown = [kl_at_most, kl.mean, kl_at_least].map(|nats| format!("{nats:.6}"));
        contradiction(name, "a divergence", "nats per token", shown)
    });
    let growth = (ratio_at_least > ratio_at_most).then(|| {
        let shown = [ratio_at_most, ratio.mean, ratio_at_least].map(|ratio| format!("{ratio:.5}"));
        contradiction(name, "a perplexity", "times the unquantized model's", shown)
    });
    divergence.into_iter().chain(growth).collect()
}

/// The loss over the certificate's own mix of strata, where what is found of each adds up to more than was certified. A sum
/// of lower bounds is one, too.
fn overall(certified: &HeldOut, found: &Evaluation) -> Option<Finding> {
    let most = certified.overall.kl_nats_at_most?;
    let tokens = certified.overall.tokens.max(1) as f64;
    let share = |(name, quality): (&String, &StratumQuality)| {
        let kl = found.strata.get(name)?.kl_nats?;
        let share = quality.tokens as f64 / tokens;
        Some((share * kl.mean, share * kl.at_least?))
    };
    let shares: Option<Vec<(f64, f64)>> = certified.strata.iter().map(share).collect();
    let (mean, least) = shares?.into_iter().fold((0.0, 0.0), |(a, b), (mean, least)| (a + mean, b + least));
    let shown = [most, mean, least].map(|nats| format!("{nats:.6}"));
    (least > most).then(|| contradiction("overall", "a divergence", "nats per token", shown))
}

/// That more was found than was certified: the bound, what was found, and what that is at least.
fn contradiction(stratum: &str, what: &str, unit: &str, [most, mean, least]: [String; 3]) -> Finding {
    let problem = format!(
        "{stratum}: expected {what} of at most {most} {unit}, found {mean} ({least} or more, one-sided 95 %)"
    );
    Finding::new(error_code::CERTIFICATE_QUALITY, CERTIFICATE_FILE, problem)
}

/// That the data does not tell whether the certificate is right.
fn unchecked(stratum: &str, found: &str) -> Finding {
    let problem = format!(
        "{stratum}: not checked: expected two or more texts of this stratum in --data, found {found}"
    );
    Finding::new(error_code::CERTIFICATE_UNCHECKED, CERTIFICATE_FILE, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use samp_compiler::eval::Estimate;

    fn certified(kl_nats_at_most: Option<f64>) -> StratumQuality {
        StratumQuality {
            records: 10,
            tokens: 1000,
            kl_nats: 0.0010,
            kl_nats_at_most,
            perplexity_ratio: 1.0,
            perplexity_ratio_at_most: kl_nats_at_most.map(|_| 1.002),
        }
    }

    fn scores(kl: f64, ratio: f64, doubt: Option<f64>) -> Scores {
        let estimate = |mean: f64| Estimate {
            mean,
            standard_error: doubt,
            at_least: doubt.map(|doubt| mean - doubt),
            at_most: doubt.map(|doubt| mean + doubt),
        };
        Scores {
            records: 5,
            truncated: 0,
            skipped: 0,
            tokens: 500,
            perplexity: None,
            baseline_perplexity: None,
            perplexity_ratio: Some(estimate(ratio)),
            kl_nats: Some(estimate(kl)),
            top1_agreement: None,
            choice_accuracy: None,
        }
    }

    /// What is said of `code`, as codes and lines.
    fn said(certified: &StratumQuality, found: Option<&Scores>) -> Vec<(String, String)> {
        let findings = stratum("code", certified, found).into_iter();
        findings.map(|f| (f.json.code().to_owned(), f.line)).collect()
    }

    #[test]
    fn losses_above_the_bound_by_more_than_their_uncertainty_are_found() {
        let bound = certified(Some(0.0011));
        assert!(said(&bound, Some(&scores(0.0010, 1.0, Some(0.0)))).is_empty());
        assert!(said(&bound, Some(&scores(0.0012, 1.0, Some(0.0002)))).is_empty());
        let found = said(&bound, Some(&scores(0.0020, 1.0, Some(0.0002))));
        assert!(
            found.len() == 1 && found[0].1.contains("code") && found[0].1.contains("0.0011"),
            "{found:?}"
        );
        let grown = said(&bound, Some(&scores(0.0010, 1.01, Some(0.001))));
        assert!(grown.len() == 1 && grown[0].1.contains("1.00200 times"), "{grown:?}");
        let all = HeldOut {
            fingerprint: String::new(),
            overall: bound.clone(),
            strata: [("code".into(), certified(Some(1.0)))].into(),
        };
        let found = |kl: f64| Evaluation {
            max_tokens: 9,
            overall: scores(kl, 1.0, None),
            strata: [("code".into(), scores(kl, 1.0, Some(1e-4)))].into(),
        };
        assert!(overall(&all, &found(0.00115)).is_none());
        assert!(overall(&all, &found(0.0013)).unwrap().line.contains("overall: expected"));
    }

    #[test]
    fn strata_that_the_data_cannot_judge_are_found() {
        let bound = certified(Some(0.0011));
        for (found, why) in [(None, "found no text"), (Some(scores(0.5, 2.0, None)), "found one text")] {
            let findings = said(&bound, found.as_ref());
            assert_eq!((findings.len(), findings[0].0.as_str()), (1, error_code::CERTIFICATE_UNCHECKED));
            assert!(
                findings[0].1.contains("code: not checked") && findings[0].1.contains(why),
                "{findings:?}"
            );
        }
        assert!(said(&certified(None), None).is_empty(), "nothing is certified that could be checked");
    }
}
