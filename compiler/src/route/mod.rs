//! Precision routing: calibration data and demands become formats, rounded weights, and a certificate of what they lose.
//!
//! Measure each weight in each format, solve for the assignment, round the weights one after another, and audit the
//! composed plan on records held out; where losses turn out not to add up, correct the prediction and solve again.
//!
//! Never: a promise that was not audited. If the demands cannot be met there is an error and no plan.

mod audit;
mod journal;
mod settle;

use std::{collections::BTreeMap, path::Path};

use anyhow::anyhow;
use samp_abi::{Format, TargetName, plan::TensorId};
use samp_ir::{Diagnostic, Phase};
use samp_passes::{Decision, Demands, FormatCost, Sensitivities, WeightSensitivity, recipe::Recipe};

pub use audit::Audit;
use settle::Search;

use crate::{
    calibrate::{
        Evenings, Forward, MasterWeights, MeasureOptions, PROFILE_VERSION, Profile, Programs, RoundedStore,
        TableWeight, TokenBatch, Tokens, data::Fingerprint, measure,
    },
    compile::{CompileOptions, Lowered, Source, lower_model},
    emit::{Held, PlanSpec, Quality},
    import::Import,
    recipe::LoadedRecipe,
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
    /// Limits and objective; a loss limit comes from `max_loss`.
    pub demands: Demands,
    /// Most growth of perplexity, such as 0.005, with 95 % confidence, overall and in each stratum.
    pub max_loss: Option<f64>,
    /// What is measured.
    pub measure: MeasureOptions,
    /// Predictions that tell a divergence, at least so many.
    pub judged_tokens: usize,
    /// Tokens behind an output error.
    pub moment_tokens: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// What the certificate is to say of the calibration data.
    pub calibration: Fingerprint,
}

/// A plan ready to be emitted.
pub struct Routed {
    /// The plan.
    pub spec: PlanSpec,
    /// Its rounded weights.
    pub rounded: RoundedStore,
    /// What is known of it.
    pub quality: Quality,
    /// How it was decided.
    pub decision: Decision,
    /// What to know before relying on it.
    pub warnings: Vec<Diagnostic>,
}

/// The demands cannot be met, as the audit found.
pub const MISSED: &str = "E1102";
/// A stratum of the audit was not calibrated on.
pub const UNSEEN: &str = "E1103";

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
    let longest = calibration.tokens.iter().chain(&held_out.tokens).map(Vec::len).max().unwrap_or(0) as u64;
    let router = Router { source, import, options, route, master: master_spec(source, options, longest)? };
    say("recording the unquantized model");
    let mut programs = Programs { original: router.forward()?, rounded: router.forward()? };
    let page_tokens = router.master.kv.page_tokens as usize;
    let pass = (PASS_TOKENS.max(longest) as usize, page_tokens);
    let audit = Audit::new(&mut programs.original, &held_out.tokens, &held_out.strata, pass, route.seed)?;
    let batches = TokenBatch::pack(&calibration.tokens, pass.0, pass.1);
    let profile = router.profile(&mut programs.rounded, &batches, calibration, work, say)?;
    let known = sensitivities(&profile);
    let lowered = lower_model(source, options, Phase::Fused, &mut |_, _| {})?;
    let data = (batches.as_slice(), &audit);
    let search = Search { router: &router, module: &lowered.module, known: &known, data, work, say };
    let mut routed = search.run(&mut programs, profile)?;
    routed.warnings.extend(unseen_strata(calibration, &routed.quality.held_out));
    Ok(routed)
}

/// Warns of strata that the audit has and the calibration has not: what was decided for others need not suit them.
fn unseen_strata(calibration: &Records, held_out: &Held) -> Option<Diagnostic> {
    let unseen: Vec<&str> =
        held_out.strata.keys().filter(|s| !calibration.strata.contains(s)).map(String::as_str).collect();
    let seen = held_out.strata.iter().filter(|(name, _)| calibration.strata.contains(name));
    let best = seen.map(|(_, quality)| quality.kl_nats).fold(f64::INFINITY, f64::min);
    let finding = Diagnostic::bad_input(
        UNSEEN,
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

/// The f32 program with the function-preserving transforms.
fn master_spec(source: &Source, options: &CompileOptions, longest: u64) -> Result<PlanSpec, Diagnostic> {
    let recipe = Recipe::uniform(Format::F32);
    let recipe = LoadedRecipe { source: recipe.name.clone(), recipe };
    let master = CompileOptions {
        kv: Some(Format::F32),
        max_context: options.max_context,
        max_tokens: PASS_TOKENS.max(longest),
        quality: samp_passes::Quality {
            rounding: samp_passes::transform::Rounding::Nearest,
            ..options.quality
        },
        ..CompileOptions::new(TargetName::Cpu, recipe)
    };
    let Lowered { spec, .. } = lower_model(source, &master, Phase::Planned, &mut |_, _| {})?;
    Ok(spec.expect("lowered to the end"))
}

/// What all steps need.
struct Router<'a> {
    source: &'a Source,
    import: &'a Import,
    options: &'a CompileOptions,
    route: &'a RouteOptions,
    master: PlanSpec,
}

impl Router<'_> {
    fn forward(&self) -> anyhow::Result<Forward> {
        Ok(Forward::new(&self.master, self.weights()?)?)
    }

    fn weights(&self) -> Result<MasterWeights, Diagnostic> {
        let checkpoint = &self.import.checkpoint;
        let evenings = Evenings::by_rms(&self.master, checkpoint)?;
        MasterWeights::load(&self.master, checkpoint, &evenings)
    }

    /// Measures, continuing what an interrupted run had measured.
    fn profile(
        &self,
        forward: &mut Forward,
        batches: &[TokenBatch],
        records: &Records,
        work: &Path,
        say: &dyn Fn(&str),
    ) -> anyhow::Result<Profile> {
        let options = &self.route.measure;
        let count = |most: usize, tokens: fn(&TokenBatch) -> usize| {
            let sums = batches.iter().scan(0, |sum, batch| {
                *sum += tokens(batch);
                Some(*sum)
            });
            (sums.take_while(|&sum| sum < most).count() + 1).min(batches.len())
        };
        let judged = count(self.route.judged_tokens, TokenBatch::outputs);
        let moments = count(self.route.moment_tokens, |batch| batch.token_ids.len()).max(judged);
        let batches = &batches[..moments];
        let tokens = Tokens { batches, judged, strata: &records.strata };
        let fingerprint = self.fingerprint(batches, judged);
        let (journal, known) = journal::open(work, &fingerprint)?;
        let tables: Vec<TableWeight<'_>> = self.tables(forward);
        let total = tables.len() + forward.linears().len();
        let mut done = known.len();
        let weights = measure(forward, &tables, &tokens, options, &known, &mut |weight| {
            done += 1;
            say(&format!("measured {done} of {total}: {}", weight.key));
            journal.append(weight)
        })?;
        Ok(Profile {
            schema: PROFILE_VERSION,
            fingerprint,
            rounding: options.rounding.transform().map_or("nearest".into(), |t| t.to_string()),
            moment_tokens: batches.iter().map(|b| b.token_ids.len() as u64).sum(),
            divergence_tokens: batches[..judged].iter().map(|b| b.outputs() as u64).sum(),
            weights,
        })
    }

    /// Matrices that no linear reads.
    fn tables(&self, forward: &Forward) -> Vec<TableWeight<'_>> {
        let linears = forward.linears();
        let ids = (0..self.master.tensors.len()).map(|index| TensorId(index as u32));
        let read = |id: TensorId| linears.iter().any(|linear| linear.weight == id);
        ids.zip(&self.master.tensors)
            .filter(|(id, tensor)| tensor.rows > 1 && !read(*id))
            .map(|(id, tensor)| TableWeight { id, key: &tensor.name })
            .collect()
    }

    fn fingerprint(&self, batches: &[TokenBatch], judged: usize) -> String {
        let mut hasher = blake3::Hasher::new();
        for file in self.import.checkpoint.files() {
            hasher.update(file.header_blake3.as_bytes()).update(&file.bytes.to_le_bytes());
        }
        for batch in batches {
            hasher.update(bytemuck::cast_slice(&batch.token_ids));
            for length in &batch.lengths {
                hasher.update(&(*length as u64).to_le_bytes());
            }
        }
        let rest = format!("{judged} {:?} {:?}", self.options.quality, self.route.measure);
        hasher.update(rest.as_bytes()).finalize().to_hex().to_string()
    }

    /// The plan with the formats of `recipe`.
    fn spec(&self, recipe: Recipe, known: &Sensitivities) -> Result<PlanSpec, Diagnostic> {
        let recipe = LoadedRecipe { source: recipe.to_toml(), recipe };
        let options = CompileOptions { recipe, sensitivities: Some(known.clone()), ..self.options.clone() };
        let Lowered { spec, .. } = lower_model(self.source, &options, Phase::Planned, &mut |_, _| {})?;
        Ok(spec.expect("lowered to the end"))
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
    let weights = profile.weights.iter().map(|weight| WeightSensitivity {
        key: weight.key.clone(),
        formats: (weight.formats.iter())
            .map(|s| FormatCost {
                format: s.format,
                nats: s.divergence.nats,
                strata: strata.iter().map(|name| stratum(&s.divergence.strata, name)).collect(),
            })
            .collect(),
    });
    Sensitivities { weights: weights.collect(), strata }
}

fn stratum(strata: &BTreeMap<String, f64>, name: &str) -> f64 {
    strata.get(name).copied().unwrap_or(0.0)
}
