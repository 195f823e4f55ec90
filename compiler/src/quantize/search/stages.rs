//! The stages of a search, each of which owns what the next needs, and the loop over them: formats are decided, weights are
//! rounded, the plan is audited; where it loses more than is allowed, the loss budget is lowered, and it is tried again.

use samp_ir::Diagnostic;
use samp_passes::{
    Decision, assign_precision,
    assignment::{LimitReport, Resource, Solution},
    error_code::{INFEASIBLE, NOT_FOUND},
};
use samp_runtime::Progress;

use super::{loss_budget::Predicted, measured::Measured, rounded_plan::RoundedPlan};
use crate::{
    certificate::{HeldOut, Round, ShadowPrice},
    lower::selection,
    quantize::error::QuantizeError,
};

/// How often a plan that violates the loss limits is solved for again.
const MAX_ROUNDS: usize = 4;

/// A measured checkpoint whose formats are decided.
pub struct Decided {
    measured: Measured,
    decision: Decision,
}

/// A measured checkpoint with weights rounded to the formats that were decided.
pub struct Quantized {
    measured: Measured,
    decision: Decision,
    plan: RoundedPlan,
}

/// A quantized plan with what it loses on records held out.
pub struct Audited {
    pub(super) measured: Measured,
    pub(super) decision: Decision,
    pub(super) plan: RoundedPlan,
    pub(super) found: HeldOut,
}

/// Whether an audit shows that the loss limits are kept.
pub enum Verdict {
    /// They are.
    Kept(Box<Audited>),
    /// They are not; the next decision has a lower loss budget.
    Violated(Box<Measured>),
}

impl Measured {
    /// Searches for a plan that keeps the loss limits: decides, quantizes and audits, and where losses did not add up, lowers
    /// the loss budget and decides again.
    ///
    /// # Errors
    /// Constraints that nothing meets, and loss limits that after several rounds are not shown to hold.
    pub fn search(mut self, progress: &dyn Progress) -> Result<Audited, QuantizeError> {
        self.report_additivity(progress)?;
        let mut measured = self;
        loop {
            let missed = measured.missed.take();
            let decided = measured.decide().map_err(|error| without_any(missed, error))?;
            let audited = decided.quantize(progress)?.audit(progress)?;
            match audited.judge(progress)? {
                Verdict::Kept(audited) => return Ok(*audited),
                Verdict::Violated(again) => measured = *again,
            }
        }
    }

    /// Solves for the formats within the constraints and the loss budget.
    pub fn decide(self) -> Result<Decided, QuantizeError> {
        let mut constraints = self.request.constraints.clone();
        self.budget.constrain(&mut constraints);
        let selection = selection(&self.model.source, &self.model.options)?;
        let decision = assign_precision(&self.module, &self.known, &constraints, &self.device, &selection)?;
        Ok(Decided { measured: self, decision })
    }

    fn predicted(&self, decision: &Decision) -> Predicted {
        let of = |name: &String| Some((name.clone(), decision.predicted_nats_of(name)?));
        let strata = self.known.strata.iter().filter_map(of).collect();
        Predicted { overall: decision.predicted_nats(), strata }
    }
}

impl Decided {
    /// Rounds every weight to its format.
    pub fn quantize(mut self, progress: &dyn Progress) -> Result<Quantized, QuantizeError> {
        let stage = format!("rounding, attempt {}", self.measured.rounds.len() + 1);
        let batches = self.measured.batches.len();
        let plan = self.measured.round(&self.decision.recipe, ["assigned", &stage], batches, progress)?;
        Ok(Quantized { measured: self.measured, decision: self.decision, plan })
    }
}

impl Quantized {
    /// Runs the plan on the records held out, and compares it with the unquantized model.
    pub fn audit(mut self, progress: &dyn Progress) -> Result<Audited, QuantizeError> {
        let found = self.measured.audit(&self.plan, progress)?;
        Ok(Audited { measured: self.measured, decision: self.decision, plan: self.plan, found })
    }
}

impl Audited {
    /// Holds the audit against the loss limits.
    ///
    /// # Errors
    /// Limits that were violated once too often.
    pub fn judge(self, progress: &dyn Progress) -> Result<Verdict, QuantizeError> {
        let Audited { mut measured, decision, plan, found } = self;
        let predicted = measured.predicted(&decision);
        measured.rounds.push(described(&decision, &predicted, &found));
        let limits = &measured.request.loss_limits;
        if limits.violation(&found).is_none() {
            return Ok(Verdict::Kept(Box::new(Audited { measured, decision, plan, found })));
        }
        let refusal = limits.refusal(&measured.rounds, &found);
        if measured.rounds.len() == MAX_ROUNDS {
            return Err(refusal.into());
        }
        let violated = measured.budget.lower(limits, &predicted, &found, measured.rounds.len());
        progress.note(&format!("the audit found {violated}; solving again, each by its own factor"));
        measured.missed = Some(refusal);
        Ok(Verdict::Violated(Box::new(measured)))
    }
}

/// Why there is no plan where a decision failed: that nothing meets a budget which an audit lowered is said after what that
/// audit found.
fn without_any(missed: Option<Diagnostic>, error: QuantizeError) -> QuantizeError {
    match (missed, error) {
        (Some(missed), QuantizeError::Finding(found)) if [INFEASIBLE, NOT_FOUND].contains(&found.code) => {
            missed.note(format!("nothing is predicted to lose little enough: {}", found.message)).into()
        }
        (_, error) => error,
    }
}

fn described(decision: &Decision, predicted: &Predicted, found: &HeldOut) -> Round {
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
        audited_nats: found.overall.kl_nats,
        factors: predicted.factors(found),
    }
}
