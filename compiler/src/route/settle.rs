//! The search for a plan that keeps its promise: solve, round, audit, and where losses did not add up, correct the
//! prediction and solve again. Its result is never worse than the best uniform plan of no greater size.

use std::{fs, path::Path};

use anyhow::Context;
use samp_abi::Format;
use samp_ir::{Diagnostic, Module};
use samp_passes::{
    Decision, Device, LOSS, Sensitivities, assign_precision,
    assignment::{LimitReport, Solution},
    projection_key,
    recipe::{Recipe, Rule},
};

use super::{Audit, Routed, Router, bits_per_weight};
use crate::{
    calibrate::{Forward, Profile, Programs, RoundedStore, TokenBatch, round},
    compile::{Lowered, selection},
    emit::{CacheLoss, Held, PlanSpec, Quality, Round, ShadowPrice, SourceSpec, Uniform},
};

/// How often a plan that misses its promise is solved for again.
const MAX_ROUNDS: usize = 4;

/// What the search goes by.
pub(super) struct Search<'a> {
    pub router: &'a Router<'a>,
    /// The fused graph.
    pub module: &'a Module,
    pub known: &'a Sensitivities,
    pub device: &'a Device,
    /// What is rounded under, and what is judged on.
    pub data: (&'a [TokenBatch], &'a Audit<'a>),
    pub work: &'a Path,
    pub say: &'a dyn Fn(&str),
}

/// A plan with its rounded weights and what it loses.
pub(super) struct Candidate {
    pub spec: PlanSpec,
    pub rounded: RoundedStore,
    pub held: Held,
}

impl Search<'_> {
    /// Searches; what was measured goes into the certificate.
    pub fn run(
        &self,
        programs: &mut Programs,
        (profile, kv): (Profile, Vec<CacheLoss>),
    ) -> anyhow::Result<Routed> {
        let promise = &self.router.route.promise;
        let (mut rounds, mut correction) = (vec![], 1.0);
        let (mut decision, mut best) = loop {
            let decision = self.decide(correction)?;
            (self.say)(&format!("rounding, attempt {}", rounds.len() + 1));
            let candidate = self.audited(programs, &decision.recipe, "assigned")?;
            rounds.push(described(&decision, &candidate.held));
            let Some(excess) = promise.excess(&candidate.held) else { break (decision, candidate) };
            if rounds.len() == MAX_ROUNDS {
                return Err(promise.refusal(&rounds, &candidate.held).into());
            }
            (self.say)(&format!("the audit found {excess:.2} times the loss allowed; solving again"));
            // Where one step did not help, losses are not in proportion: the next steps are longer.
            correction *= (1.05 * excess).powi(rounds.len() as i32);
        };
        let mut best_uniform = None;
        if let Some((format, formats)) = self.best_uniform(&decision) {
            (self.say)(&format!("auditing uniform {format}, the best uniform plan of no greater size"));
            let recipe = self.recipe_of(&formats, decision.recipe.kv);
            let uniform = self.audited(programs, &recipe, "uniform")?;
            best_uniform = Some(Uniform {
                format,
                bits_per_weight: bits_per_weight(&uniform.spec),
                kl_nats: uniform.held.overall.kl_nats,
            });
            let better = uniform.held.overall.kl_nats < best.held.overall.kl_nats;
            if better && promise.excess(&uniform.held).is_none() && decision.admits(&formats) {
                (self.say)("the uniform plan loses less and is taken");
                best = uniform;
                (decision.recipe, decision.formats) = (recipe, formats);
            }
        }
        let Candidate { mut spec, rounded, held: held_out } = best;
        let fingerprint = rounded.fingerprint();
        spec.rounded = Some(fingerprint.clone());
        let calibration = self.router.route.calibration.clone();
        let quality =
            Quality { calibration, profile, kv, rounds, held_out, best_uniform, rounded: fingerprint };
        let Lowered { trace, warnings, .. } = self.router.lowered(&decision.recipe, self.known)?;
        Ok(Routed { spec, rounded, quality, decision, trace, warnings })
    }

    /// Rounds every weight as the recipe says, keeps them in a folder of this name, and audits them.
    pub fn audited(
        &self,
        programs: &mut Programs,
        recipe: &Recipe,
        folder: &str,
    ) -> anyhow::Result<Candidate> {
        let dir = self.work.join(folder);
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let spec = self.router.spec(recipe, self.known)?;
        let mut rounded = RoundedStore::new(&dir);
        let (batches, audit) = self.data;
        let master = &self.router.master.spec;
        round(programs, (master, &spec), batches, &mut rounded, self.say)?;
        // The plan's own format of keys and values is a part of what it loses.
        let run = |forward: &mut Forward| audit.run(forward);
        let held = self.router.master.with_kv(&mut programs.rounded, spec.kv.format, run)?;
        Ok(Candidate { spec, rounded, held })
    }

    /// Solves with loss limits that are tightened by `correction`.
    fn decide(&self, correction: f64) -> Result<Decision, Diagnostic> {
        let router = self.router;
        let mut demands = router.route.demands.clone();
        router.route.promise.limit(&mut demands, &self.known.strata, correction);
        let selection = selection(router.source, router.options)?;
        assign_precision(self.module, self.known, (&demands, self.device), &selection)
    }

    /// The uniform assignment (embedding and head as decided) with the least predicted loss among those no larger than
    /// the decision, unless that is the decision itself.
    fn best_uniform(&self, decision: &Decision) -> Option<(Format, Vec<(String, Format)>)> {
        let bytes = |formats: &[(String, Format)]| -> Option<u64> {
            let each = formats.iter().map(|(key, format)| {
                let [rows, cols] = self.shape(key)?;
                Some(format.bytes(rows, cols))
            });
            each.sum()
        };
        let most = bytes(&decision.formats)?;
        let uniform = |&format: &Format| {
            let decided = |key: &str| decision.formats.iter().find(|(own, _)| own == key).map(|own| own.1);
            let each = self.known.weights.iter().map(|weight| {
                let inside = weight.key.starts_with("layers.");
                let format = if inside { format } else { decided(&weight.key)? };
                let cost = weight.formats.iter().find(|cost| cost.format == format)?;
                Some((cost.nats, (weight.key.clone(), format)))
            });
            let each: Vec<(f64, (String, Format))> = each.collect::<Option<_>>()?;
            let (nats, formats): (Vec<f64>, Vec<(String, Format)>) = each.into_iter().unzip();
            let fits = bytes(&formats)? <= most && formats != decision.formats;
            fits.then(|| (nats.iter().sum::<f64>(), format, formats))
        };
        let candidates = self.router.route.measure.formats.iter().filter_map(uniform);
        candidates.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, format, formats)| (format, formats))
    }

    /// Rows and columns of a weight, or of a member of one.
    fn shape(&self, key: &str) -> Option<[u64; 2]> {
        let tensors = &self.router.master.spec.tensors;
        if let Some(whole) = tensors.iter().find(|tensor| tensor.name == key) {
            return Some([whole.rows, whole.cols]);
        }
        let mut sources = tensors.iter().flat_map(|tensor| &tensor.sources);
        let member = sources.find(|source| projection_key(&source.name) == key)?;
        Some([*member.shape.first()?, *member.shape.last()?])
    }

    pub fn recipe_of(&self, formats: &[(String, Format)], kv: Option<Format>) -> Recipe {
        let tensors = &self.router.master.spec.tensors;
        let rules = formats.iter().flat_map(|(key, format)| {
            let rule = |key: &str| Rule { pattern: key.into(), format: *format };
            let source = |source: &SourceSpec| rule(projection_key(&source.name));
            match tensors.iter().find(|tensor| tensor.name == *key) {
                Some(whole) => whole.sources.iter().map(source).collect(),
                None => vec![rule(key)],
            }
        });
        Recipe { name: "measured".into(), kv, rules: rules.collect() }
    }
}

fn described(decision: &Decision, held: &Held) -> Round {
    let solution: &Solution = &decision.solution;
    let price = |limit: &LimitReport| ShadowPrice {
        resource: limit.resource.clone(),
        per_unit: limit.price,
        offer: limit.offer(),
    };
    Round {
        limits: solution.limits.iter().map(ToString::to_string).collect(),
        predicted_nats: decision.predicted_nats(),
        bound_nats: (decision.minimised == LOSS).then_some(solution.bound),
        gap: solution.gap,
        prices: solution.limits.iter().map(price).collect(),
        audited_nats: held.overall.kl_nats,
    }
}
