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
    /// Whether the judge is to score the answer.
    pub scored: bool,
}

/// The plan, and beside it the baseline with its judge, if there is one.
pub struct Routes {
    plan: Route,
    judged: Option<(Route, Arc<Judge>)>,
}

impl Routes {
    /// The plan, and the baseline with its judge.
    pub fn new(plan: Route, judged: Option<(Route, Arc<Judge>)>) -> Routes {
        Routes { plan, judged }
    }

    /// Who answers the next request, by two numbers from 0 to 1. Those on their way stay where they are.
    pub fn choose(&self, answers: f64, scored: f64) -> Route {
        match &self.judged {
            Some((baseline, judge)) if !judge.plan_answers(answers) => baseline.clone(),
            Some((_, judge)) => Route { scored: judge.samples(scored), ..self.plan.clone() },
            None => self.plan.clone(),
        }
    }

    /// The judge.
    pub fn judge(&self) -> Option<&Arc<Judge>> {
        self.judged.as_ref().map(|(_, judge)| judge)
    }

    /// Has the engines end once nothing is left to do.
    pub fn stop(&self) {
        self.plan.engine.stop();
        self.judged.iter().for_each(|(baseline, _)| baseline.engine.stop());
    }
}
