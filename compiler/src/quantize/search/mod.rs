//! Precision routing: calibration data and demands become formats, rounded weights, and a certificate of what they lose.
//!
//! Measure each weight in each format, solve for the assignment, round the weights one after another, and audit the
//! composed plan on records held out; where losses turn out not to add up, correct the prediction and solve again.
//!
//! Never: a promise that was not audited. If the demands cannot be met there is an error and no plan.

mod additivity;
mod audit;
mod device;
mod journal;
mod loss_limits;
mod pass_effects;
mod profiling;
mod solve;
mod uniform_baselines;

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, anyhow};
use samp_abi::{Format, TargetName};
use samp_ir::{Diagnostic, Phase};
use samp_passes::{
    Constraints, Decision, FormatCost, MemberSensitivity, Sensitivities, WeightSensitivity, matrices,
    recipe::Recipe, transform::Rounding,
};

pub use additivity::{AdditivitySample, rank_correlation};
pub use audit::Audit;
pub use loss_limits::LossLimits;
use profiling::Profiling;
pub use profiling::{MeasureRequest, profile};
use solve::Search;

use crate::error_code;
use crate::{
    certificate::{HeldOut, QualityEvidence},
    compile::{CompileOptions, Lowered, Source, lower_model},
    import::Import,
    lower::{PlanSpec, pipeline::Trace, recipe::LoadedRecipe},
    quantize::{
        BaselineWeights, CalibrationError, EqualizationScales, Forward, MeasureOptions, MemberProfile,
        Profile, ProgramPair, RoundedStore, Sensitivity, TokenBatch, Tokens, at_least, data::Fingerprint,
    },
};

/// Tokens of one pass over the f32 program.
const PASS_TOKENS: u64 = 2048;

/// Records as tokens, with the stratum of each.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Tokens of each record, at least two.
    pub tokens: Vec<Vec<u32>>,
    /// Stratum of each record.
    pub strata: Vec<String>,
}

/// What is asked of the routing.
#[derive(Clone, Debug)]
pub struct RouteOptions {
    /// Limits and objective; limits on losses come from `promise`.
    pub demands: Constraints,
    /// How much perplexity may grow.
    pub promise: LossLimits,
    /// What is measured.
    pub measure: MeasureOptions,
    /// Tokens that the final weights are rounded under.
    pub round_tokens: usize,
    /// What was measured before.
    pub profile: Option<Profile>,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// What the certificate is to say of the calibration data.
    pub calibration: Fingerprint,
    /// Random assignments to audit before deciding, which tell how far measured losses add up.
    pub trials: usize,
}

/// A plan ready to be emitted.
pub struct Routed {
    /// The plan.
    pub spec: PlanSpec,
    /// Its rounded weights.
    pub rounded: RoundedStore,
    /// What is known of it.
    pub quality: QualityEvidence,
    /// How it was decided.
    pub decision: Decision,
    /// What the passes did and why.
    pub trace: Trace,
    /// What to know before relying on it.
    pub warnings: Vec<Diagnostic>,
}

/// Routes a checkpoint. `work` is a folder for what survives an interruption; `say` hears what is done.
pub fn route(
    source: &Source,
    options: &CompileOptions,
    (calibration, held_out): (&Records, &Records),
    route: &RouteOptions,
    work: &Path,
    say: &dyn Fn(&str),
) -> anyhow::Result<Routed> {
    let Source::Checkpoint(import) = source else {
        return Err(anyhow!(
            "calibration needs weights: give the checkpoint's directory, not its config.json"
        ));
    };
    route.promise.check(&held_out.strata)?;
    let longest = calibration.tokens.iter().chain(&held_out.tokens).map(Vec::len).max().unwrap_or(0) as u64;
    let master = BaselineModel::of(source, import, options, longest)?;
    say("recording the unquantized model");
    let original = master.forward(work)?;
    let rounded = Forward::new(&master.spec, original.weights().clone())?;
    let mut programs = ProgramPair { original, rounded };
    let (pass, page) = (master.pass_tokens(), master.spec.kv.page_tokens as usize);
    let audit =
        Audit::new(&mut programs.original, &held_out.tokens, &held_out.strata, (pass, page), route.seed)?;
    let batches = TokenBatch::pack(&calibration.tokens, pass, page);
    let part = MeasureRequest { records: calibration, measure: &route.measure, layers: None };
    let profiling = Profiling { master: &master, import, options, part: &part, work, say };
    let tokens = Tokens::of(&batches, &route.measure, &calibration.strata);
    let measured = profiling.run(&mut programs.rounded, &tokens, route.profile.as_ref())?;
    let mut profile = measured.profile;
    profile.keep(&route.measure.formats);
    let options =
        &CompileOptions { kv_scales: profile.kv_scales(master.spec.model.layers), ..options.clone() };
    let master = BaselineModel { options, ..master };
    let router = Router { source, options, route, master: &master };
    let lowered = lower_model(source, options, Phase::Fused, &mut |_, _| {})?;
    let module = &lowered.module;
    let known = sensitivities(&profile).runnable(&matrices(module), options.target);
    let caches = router.cache_losses(&mut programs.original, &tokens, &measured.journal, say)?;
    drop(tokens);
    let device = router.device(&caches, &known.strata)?;
    let rounding = at_least(&batches, route.round_tokens, |batch| batch.token_ids.len());
    let data = (&batches[..rounding], &audit);
    let search = Search { router: &router, module, known: &known, device: &device, data, work, say };
    let trials = search.trials(&mut programs, route.trials, route.seed)?;
    if !trials.is_empty() {
        let correlation = rank_correlation(&trials);
        let count = trials.len();
        say(&format!(
            "rank correlation of predicted and audited losses over {count} assignments: {correlation:.3}"
        ));
    }
    let mut routed = search.run(&mut programs, (profile, caches))?;
    routed.warnings.extend(measured.reused);
    routed.warnings.extend(unseen_strata(calibration, &routed.quality.held_out));
    Ok(routed)
}

/// Warns of strata that the audit has and the calibration has not: what was decided for others need not suit them.
fn unseen_strata(calibration: &Records, held_out: &HeldOut) -> Option<Diagnostic> {
    let unseen: Vec<&str> =
        held_out.strata.keys().filter(|s| !calibration.strata.contains(s)).map(String::as_str).collect();
    let seen = held_out.strata.iter().filter(|(name, _)| calibration.strata.contains(name));
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

/// The f32 program with the function-preserving transforms, and its weights.
struct BaselineModel<'a> {
    spec: PlanSpec,
    /// What lowering it warned of.
    warnings: Vec<Diagnostic>,
    import: &'a Import,
    source: &'a Source,
    options: &'a CompileOptions,
}

impl<'a> BaselineModel<'a> {
    /// The program for records of at most `longest` tokens.
    fn of(
        source: &'a Source,
        import: &'a Import,
        options: &'a CompileOptions,
        longest: u64,
    ) -> Result<BaselineModel<'a>, Diagnostic> {
        let (spec, warnings) =
            BaselineModel::lowered(source, options, PASS_TOKENS.max(longest), Format::F32)?;
        Ok(BaselineModel { spec, warnings, import, source, options })
    }

    /// The program with keys and values in a format.
    fn lowered(
        source: &Source,
        options: &CompileOptions,
        max_tokens: u64,
        kv: Format,
    ) -> Result<(PlanSpec, Vec<Diagnostic>), Diagnostic> {
        let recipe = Recipe::uniform(Format::F32);
        let recipe = LoadedRecipe { source: recipe.name.clone(), recipe };
        let master = CompileOptions {
            kv: Some(kv),
            kv_scales: options.kv_scales.clone(),
            max_context: options.max_context,
            max_tokens,
            quality: samp_passes::QuantOptions {
                correct: false,
                rounding: Rounding::Nearest,
                ..options.quality
            },
            ..CompileOptions::new(TargetName::Cpu, recipe)
        };
        let Lowered { spec, warnings, .. } = lower_model(source, &master, Phase::Planned, &mut |_, _| {})?;
        Ok((spec.expect("lowered to the end"), warnings))
    }

    /// Does something with the weights of `forward` while keys and values are kept as `kv`.
    fn with_kv<T>(
        &self,
        forward: &mut Forward,
        kv: Format,
        run: impl FnOnce(&mut Forward) -> Result<T, CalibrationError>,
    ) -> anyhow::Result<T> {
        if kv == self.spec.kv.format {
            return Ok(run(forward)?);
        }
        let (spec, _) = BaselineModel::lowered(self.source, self.options, self.spec.limits.max_tokens, kv)?;
        let mut cached = Forward::new(&spec, BaselineWeights::default())?;
        std::mem::swap(forward.weights_mut(), cached.weights_mut());
        let result = run(&mut cached);
        std::mem::swap(forward.weights_mut(), cached.weights_mut());
        Ok(result?)
    }

    /// The program, ready to run, with its weights in nameless files in the folder `work`.
    fn forward(&self, work: &Path) -> anyhow::Result<Forward> {
        std::fs::create_dir_all(work).with_context(|| format!("making the folder {}", work.display()))?;
        let checkpoint = &self.import.checkpoint;
        let equalization = EqualizationScales::by_rms(&self.spec, checkpoint)?;
        let weights = BaselineWeights::load(&self.spec, checkpoint, &equalization, work)?;
        Ok(Forward::new(&self.spec, weights)?)
    }

    /// Tokens of one pass.
    fn pass_tokens(&self) -> usize {
        self.spec.limits.max_tokens as usize
    }
}

/// What all steps need.
struct Router<'a> {
    source: &'a Source,
    options: &'a CompileOptions,
    route: &'a RouteOptions,
    master: &'a BaselineModel<'a>,
}

impl Router<'_> {
    /// The plan with the formats of `recipe`.
    fn lowered(&self, recipe: &Recipe, known: &Sensitivities) -> Result<Lowered, Diagnostic> {
        let recipe = LoadedRecipe { source: recipe.to_toml(), recipe: recipe.clone() };
        let options = CompileOptions { recipe, sensitivities: Some(known.clone()), ..self.options.clone() };
        lower_model(self.source, &options, Phase::Planned, &mut |_, _| {})
    }
}

/// Bits per weight over the decoder's linears, every scale counted.
pub fn bits_per_weight(spec: &PlanSpec) -> f64 {
    let linears = spec.decoder_linears();
    let tensors = || spec.tensors.iter().zip(&linears).filter(|(_, linear)| **linear).map(|(t, _)| t);
    let weights: u64 = tensors().map(|t| t.elements()).sum();
    8.0 * tensors().map(|t| t.stored_bytes()).sum::<u64>() as f64 / weights.max(1) as f64
}

/// What the passes need of a profile.
pub fn sensitivities(profile: &Profile) -> Sensitivities {
    let mut strata: Vec<String> = vec![];
    for sensitivity in profile.weights.iter().flat_map(|w| &w.formats) {
        strata.extend(
            sensitivity.divergence.strata.keys().filter(|s| !strata.contains(s)).cloned().collect::<Vec<_>>(),
        );
    }
    strata.sort();
    let cost = |s: &Sensitivity| FormatCost {
        format: s.format,
        nats: s.divergence.nats,
        strata: strata.iter().map(|name| stratum(&s.divergence.strata, name)).collect(),
    };
    let part = |part: &MemberProfile| MemberSensitivity {
        key: part.key.clone(),
        rows: part.rows,
        formats: part.formats.iter().map(cost).collect(),
    };
    let weights = profile.weights.iter().map(|weight| WeightSensitivity {
        key: weight.key.clone(),
        outliers: weight.outlier_columns(),
        formats: weight.formats.iter().map(cost).collect(),
        members: weight.parts.iter().map(part).collect(),
    });
    let weights = weights.collect();
    Sensitivities { weights, strata }
}

fn stratum(strata: &BTreeMap<String, f64>, name: &str) -> f64 {
    strata.get(name).copied().unwrap_or(0.0)
}
