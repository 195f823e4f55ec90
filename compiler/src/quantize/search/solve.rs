//! The search for a plan that keeps its promise: solve, round, audit, and where losses did not add up, correct the
//! prediction and solve again. Its result is never worse than the best uniform plan of no greater size.

use std::{fs, path::Path};

use anyhow::Context;
use samp_abi::Format;
use samp_ir::{Diagnostic, Module};
use samp_passes::{
    Decision, Device, Sensitivities, assign_precision,
    assignment::{LimitReport, Resource, Solution},
    projection_key,
    recipe::{Recipe, Rule},
};

use super::{
    Audit, Routed, Router,
    loss_limits::{LossBudget, Predicted},
};
use crate::{
    certificate::{CacheLoss, HeldOut, QualityEvidence, Round, ShadowPrice},
    compile::{Lowered, selection},
    lower::{PlanSpec, SourceSpec, pipeline::Trace},
    quantize::{Forward, PassEffect, Profile, ProgramPair, RoundedStore, TokenBatch, round},
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
    /// What its lowering did, and warned of.
    pub lowering: (Trace, Vec<Diagnostic>),
    pub rounded: RoundedStore,
    /// What the passes did that work on rounding.
    pub effects: Vec<PassEffect>,
    pub held: HeldOut,
}

impl Search<'_> {
    /// Searches; what was measured goes into the certificate.
    pub fn run(
        &self,
        programs: &mut ProgramPair,
        (profile, kv): (Profile, Vec<CacheLoss>),
    ) -> anyhow::Result<Routed> {
        let promise = &self.router.route.promise;
        let (mut rounds, mut ceilings) = (vec![], LossBudget::of(promise, &self.known.strata));
        let (mut decision, mut best) = loop {
            let decision = self.decide(&ceilings)?;
            (self.say)(&format!("rounding, attempt {}", rounds.len() + 1));
            let candidate = self.audited(programs, &decision.recipe, "assigned")?;
            let predicted = self.predicted(&decision);
            rounds.push(described(&decision, &predicted, &candidate.held));
            if promise.excess(&candidate.held).is_none() {
                break (decision, candidate);
            }
            if rounds.len() == MAX_ROUNDS {
                return Err(promise.refusal(&rounds, &candidate.held).into());
            }
            let missed = ceilings.lower(promise, &predicted, &candidate.held, rounds.len());
            (self.say)(&format!("the audit found {missed}; solving again, each by its own factor"));
        };
        let uniforms = self.uniform_candidates(programs, &mut decision, &mut best)?;
        let best_uniform = uniforms.iter().min_by(|a, b| a.kl_nats.total_cmp(&b.kl_nats)).cloned();
        let mut effects = self.shaping(programs, &best.spec)?;
        effects.extend(best.effects);
        let Candidate { mut spec, lowering: (trace, warnings), rounded, held: held_out, .. } = best;
        let fingerprint = rounded.fingerprint();
        spec.rounded = Some(fingerprint.clone());
        let calibration = self.router.route.calibration.clone();
        let quality = QualityEvidence {
            calibration,
            profile,
            kv,
            rounds,
            held_out,
            best_uniform,
            uniforms,
            effects,
            rounded: fingerprint,
        };
        Ok(Routed { spec, rounded, quality, decision, trace, warnings })
    }

    /// Rounds every weight as the recipe says, keeps them in a folder of this name, and audits them.
    pub fn audited(
        &self,
        programs: &mut ProgramPair,
        recipe: &Recipe,
        folder: &str,
    ) -> anyhow::Result<Candidate> {
        let dir = self.work.join(folder);
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let Lowered { spec, trace, warnings, .. } = self.router.lowered(recipe, self.known)?;
        let spec = spec.expect("lowered to the end");
        let mut rounded = RoundedStore::new(&dir);
        let (batches, audit) = self.data;
        let master = &self.router.master.spec;
        let effects = round(programs, (master, &spec), batches, &mut rounded, self.say)?;
        // The plan's own format of keys and values is a part of what it loses.
        let run = |forward: &mut Forward| audit.run(forward);
        let held = self.router.master.with_kv(&mut programs.rounded, spec.kv.format, run)?;
        Ok(Candidate { spec, lowering: (trace, warnings), rounded, effects, held })
    }

    /// Solves with these ceilings of the predicted losses.
    fn decide(&self, ceilings: &LossBudget) -> Result<Decision, Diagnostic> {
        let router = self.router;
        let mut demands = router.route.demands.clone();
        ceilings.limit(&mut demands);
        let selection = selection(router.source, router.options)?;
        assign_precision(self.module, self.known, &demands, self.device, &selection)
    }

    fn predicted(&self, decision: &Decision) -> Predicted {
        let of = |name: &String| Some((name.clone(), decision.predicted_nats_of(name)?));
        let strata = self.known.strata.iter().filter_map(of).collect();
        Predicted { overall: decision.predicted_nats(), strata }
    }

    /// Rows and columns of a weight, or of a member of one.
    pub fn shape(&self, key: &str) -> Option<[u64; 2]> {
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

fn described(decision: &Decision, predicted: &Predicted, held: &HeldOut) -> Round {
    let solution: &Solution = &decision.solution;
    let price = |limit: &LimitReport| ShadowPrice {
        resource: limit.resource.to_string(),
        per_unit: limit.price,
        offer: limit.offer(),
    };
    Round {
        limits: solution.limits.iter().map(ToString::to_string).collect(),
        predicted_nats: predicted.overall,
        bound_nats: (decision.minimised == Resource::Loss).then_some(solution.bound),
        gap: solution.gap,
        prices: solution.limits.iter().map(price).collect(),
        audited_nats: held.overall.kl_nats,
        factors: predicted.factors(held),
    }
}
