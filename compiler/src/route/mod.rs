//! Precision routing: calibration data and demands become formats, rounded weights, and a certificate of what they lose.
//!
//! Measure each weight in each format, solve for the assignment, round the weights one after another, and audit the
//! composed plan on records held out; where losses turn out not to add up, correct the prediction and solve again.
//!
//! Never: a promise that was not audited. If the demands cannot be met there is an error and no plan.

mod audit;
mod journal;

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, anyhow};
use samp_abi::{Format, TargetName, plan::TensorId};
use samp_ir::{Diagnostic, Module, Phase};
use samp_passes::{
    Decision, Demands, FormatCost, Sensitivities, WeightSensitivity, assign_precision,
    recipe::{Recipe, Rule},
};

pub use audit::Audit;

use crate::{
    calibrate::{
        Evenings, Forward, MasterWeights, MeasureOptions, PROFILE_VERSION, Profile, RoundedStore,
        TableWeight, TokenBatch, Tokens, data::Fingerprint, measure, round,
    },
    compile::{CompileOptions, Lowered, Source, lower_model, selection},
    emit::{Held, PlanSpec, Quality, Round, Uniform},
    import::Import,
    recipe::LoadedRecipe,
};

/// Tokens of one pass over the f32 program.
const PASS_TOKENS: u64 = 2048;
/// How often a plan that misses its promise is solved for again.
const MAX_ROUNDS: usize = 4;

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
}

/// The demands cannot be met, as the audit found.
pub const MISSED: &str = "E1102";

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
    let mut forward = router.forward()?;
    let page_tokens = router.master.kv.page_tokens as usize;
    let pass = (PASS_TOKENS.max(longest) as usize, page_tokens);
    let audit = Audit::new(&mut forward, &held_out.tokens, &held_out.strata, pass, route.seed)?;
    let batches = TokenBatch::pack(&calibration.tokens, pass.0, pass.1);
    let profile = router.profile(&mut forward, &batches, calibration, work, say)?;
    let known = sensitivities(&profile);
    let lowered = lower_model(source, options, Phase::Fused, &mut |_, _| {})?;
    let deciding = Deciding { router: &router, module: &lowered.module, known: &known };
    let mut settled = deciding.settle(&mut forward, (&batches, &audit), work, say)?;
    settled.quality.profile = profile;
    Ok(settled)
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

    /// Rounds every weight of `spec`; leaves the rounded weights in `forward`.
    fn round(
        &self,
        forward: &mut Forward,
        spec: &PlanSpec,
        batches: &[TokenBatch],
        store: &mut RoundedStore,
    ) -> anyhow::Result<()> {
        *forward.weights_mut() = self.weights()?;
        store.clear().context("clearing the rounded weights")?;
        round(forward, spec, batches, store)?;
        Ok(())
    }
}

/// The search for a plan that keeps its promise.
struct Deciding<'a> {
    router: &'a Router<'a>,
    module: &'a Module,
    known: &'a Sensitivities,
}

impl Deciding<'_> {
    fn settle(
        &self,
        forward: &mut Forward,
        (batches, audit): (&[TokenBatch], &Audit<'_>),
        work: &Path,
        say: &dyn Fn(&str),
    ) -> anyhow::Result<Routed> {
        let mut store = RoundedStore::new(work);
        let (mut rounds, mut correction) = (vec![], 1.0);
        loop {
            let decision = self.decide(correction)?;
            let spec = self.router.spec(decision.recipe.clone(), self.known)?;
            say(&format!("rounding, attempt {}", rounds.len() + 1));
            self.router.round(forward, &spec, batches, &mut store)?;
            let held = audit.run(forward)?;
            rounds.push(described(&decision, &held));
            let Some(excess) = self.missed(&held) else {
                return self.against_uniform(
                    forward,
                    (batches, audit),
                    (spec, store, decision),
                    (rounds, held),
                    say,
                );
            };
            if rounds.len() == MAX_ROUNDS {
                return Err(self.refusal(&rounds, &held).into());
            }
            say(&format!("the audit found {:.2} times the loss allowed; solving again", excess));
            correction *= 1.05 * excess;
        }
    }

    /// Solves with a loss limit that is tightened by `correction`.
    fn decide(&self, correction: f64) -> Result<Decision, Diagnostic> {
        let router = self.router;
        let mut demands = router.route.demands.clone();
        if let Some(loss) = router.route.max_loss {
            let nats = (1.0 + loss).ln() / correction;
            demands.nats = Some(demands.nats.map_or(nats, |most| most.min(nats)));
        }
        assign_precision(self.module, self.known, &demands, &selection(router.source, router.options)?)
    }

    /// How many times the allowed loss the audit found, where more than once: overall or in any stratum.
    fn missed(&self, held: &Held) -> Option<f64> {
        let allowed = (1.0 + self.router.route.max_loss?).ln();
        let all = held.strata.values().chain([&held.overall]);
        let worst = all.map(|q| q.perplexity_ratio_at_most.ln() / allowed).fold(0.0, f64::max);
        (worst > 1.0).then_some(worst)
    }

    fn refusal(&self, rounds: &[Round], held: &Held) -> Diagnostic {
        let percent = |ratio: f64| 100.0 * (ratio - 1.0);
        let allowed = 100.0 * self.router.route.max_loss.unwrap_or(0.0);
        let overall = percent(held.overall.perplexity_ratio_at_most);
        let message = format!(
            "--max-loss {allowed} % cannot be shown to hold: after {} attempts the perplexity grows by at most \
             {overall:.3} % overall (one-sided 95 %)",
            rounds.len()
        );
        let finding = Diagnostic::bad_input(MISSED, message);
        let strata = held.strata.iter().map(|(name, q)| {
            let (grown, most) = (percent(q.perplexity_ratio), percent(q.perplexity_ratio_at_most));
            format!("{name}: {grown:.3} %, at most {most:.3} %, {} records", q.records)
        });
        let finding = strata.fold(finding, Diagnostic::note);
        finding.hint(
            "allow more bytes, a larger loss, or give more held-out records (their number sets the interval)",
        )
    }

    /// Compares with the best uniform plan that is no larger, and takes that one if it loses less.
    fn against_uniform(
        &self,
        forward: &mut Forward,
        (batches, audit): (&[TokenBatch], &Audit<'_>),
        (mut spec, mut rounded, mut decision): (PlanSpec, RoundedStore, Decision),
        (rounds, mut held): (Vec<Round>, Held),
        say: &dyn Fn(&str),
    ) -> anyhow::Result<Routed> {
        let router = self.router;
        let mut best_uniform = None;
        if let Some((format, formats)) = self.best_uniform(&decision) {
            say(&format!("auditing uniform {format}, the best uniform plan of no greater size"));
            let recipe = self.recipe_of(&formats);
            let uniform_spec = router.spec(recipe.clone(), self.known)?;
            let mine = (spec, rounded.fingerprint());
            router.round(forward, &uniform_spec, batches, &mut rounded)?;
            let uniform = audit.run(forward)?;
            best_uniform = Some(Uniform {
                format,
                bits_per_weight: bits_per_weight(&uniform_spec),
                kl_nats: uniform.overall.kl_nats,
            });
            if uniform.overall.kl_nats < held.overall.kl_nats && self.missed(&uniform).is_none() {
                say("the uniform plan loses less and is taken");
                (spec, held) = (uniform_spec, uniform);
                (decision.recipe, decision.formats) = (recipe, formats);
            } else {
                spec = mine.0;
                router.round(forward, &spec, batches, &mut rounded)?;
                debug_assert_eq!(rounded.fingerprint(), mine.1, "rounding gives the same weights each time");
            }
        }
        spec.rounded = Some(rounded.fingerprint());
        let quality = Quality {
            calibration: self.router.route.calibration.clone(),
            profile: Profile::empty(),
            rounds,
            held_out: held,
            best_uniform,
            rounded: rounded.fingerprint(),
        };
        Ok(Routed { spec, rounded, quality, decision })
    }

    /// The uniform assignment (embedding and head as decided) with the least predicted loss among those no larger than
    /// the decision, unless that is the decision itself.
    fn best_uniform(&self, decision: &Decision) -> Option<(Format, Vec<(String, Format)>)> {
        let cost = |formats: &[(String, Format)]| -> Option<(f64, u64)> {
            let each = formats.iter().map(|(key, format)| {
                let weight = self.known.weights.iter().find(|w| w.key == *key)?;
                let known = weight.formats.iter().find(|f| f.format == *format)?;
                let weight = self.router.master.tensors.iter().find(|t| t.name == *key)?;
                Some((known.nats, format.bytes(weight.rows, weight.cols)))
            });
            let each: Vec<(f64, u64)> = each.collect::<Option<_>>()?;
            Some((each.iter().map(|c| c.0).sum(), each.iter().map(|c| c.1).sum()))
        };
        let (_, most) = cost(&decision.formats)?;
        let uniform = |&format: &Format| {
            let replace = |(key, own): &(String, Format)| {
                (key.clone(), if key.starts_with("layers.") { format } else { *own })
            };
            let formats: Vec<(String, Format)> = decision.formats.iter().map(replace).collect();
            let (nats, bytes) = cost(&formats)?;
            (bytes <= most && formats != decision.formats).then_some((nats, format, formats))
        };
        let candidates = self.router.route.measure.formats.iter().filter_map(uniform);
        candidates.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, format, formats)| (format, formats))
    }

    fn recipe_of(&self, formats: &[(String, Format)]) -> Recipe {
        let tensors = &self.router.master.tensors;
        let rules = formats.iter().flat_map(|(key, format)| {
            let sources = tensors.iter().find(|t| t.name == *key).map_or(&[][..], |t| &t.sources);
            let rule = |source: &crate::emit::SourceSpec| Rule {
                pattern: samp_passes::projection_key(&source.name).into(),
                format: *format,
            };
            sources.iter().map(rule).collect::<Vec<_>>()
        });
        Recipe { name: "measured".into(), kv: None, rules: rules.collect() }
    }
}

fn described(decision: &Decision, held: &Held) -> Round {
    let solution = &decision.solution;
    Round {
        limits: solution.limits.iter().map(ToString::to_string).collect(),
        predicted_nats: decision.predicted_nats(),
        bound_nats: solution.bound,
        gap: solution.gap,
        audited_nats: held.overall.kl_nats,
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
