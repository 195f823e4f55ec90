//! Who answers a request: the plan, or the baseline that it is judged by.

use std::sync::Arc;

use crate::{engine::EngineHandle, judge::Judge};

/// An engine, and what answers of its plan are known by.
#[derive(Clone)]
pub struct Route {
    /// Takes the jobs.
    pub engine: EngineHandle,
    /// The plan's digest.
    pub fingerprint: String,
    /// Whether it is the plan that is judged and verified.
    pub is_plan: bool,
    /// Whether the judge is to score the answer.
    pub scored: bool,
}

/// The plan, and beside it the baseline with its judge, if there is one.
pub struct Routes {
    plan: Route,
    baseline: Option<Route>,
    judge: Option<Arc<Judge>>,
}

impl Routes {
    /// The plan, the baseline that may take over, and who judges.
    pub fn new(plan: Route, baseline: Option<Route>, judge: Option<Arc<Judge>>) -> Routes {
        Routes { plan, baseline, judge }
    }

    /// Who answers the next request, by two numbers from 0 to 1. Those on their way stay where they are.
    pub fn choose(&self, answers: f64, scored: f64) -> Route {
        match (&self.judge, &self.baseline) {
            (Some(judge), Some(baseline)) if !judge.plan_answers(answers) => baseline.clone(),
            (Some(judge), _) => Route { scored: judge.samples(scored), ..self.plan.clone() },
            (None, _) => self.plan.clone(),
        }
    }

    /// Whether someone can take over from the plan.
    pub fn has_baseline(&self) -> bool {
        self.baseline.is_some()
    }

    /// The judge.
    pub fn judge(&self) -> Option<&Arc<Judge>> {
        self.judge.as_ref()
    }

    /// Has the engines end once nothing is left to do.
    pub fn stop(&self) {
        self.plan.engine.stop();
        self.baseline.iter().for_each(|baseline| baseline.engine.stop());
    }
}
