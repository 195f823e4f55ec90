//! What the server shows of itself: metrics, accounts of requests, and a log line for each.

mod accounts;
mod exposition;
mod histogram;
pub mod log;
mod metrics;
mod plan_labels;
mod ticket;
mod timing;
mod traffic;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use samp_runtime::Finish;

use self::{accounts::Accounts, metrics::Metrics};
pub use self::{
    accounts::{Outcome, QueueFull, QueueLimits, Summary},
    exposition::{Exposed, Exposition},
    metrics::Load,
    plan_labels::PlanLabels,
    ticket::Ticket,
    timing::Timing,
    traffic::Traffic,
};
/// Everything that is counted, shared by all threads.
pub struct Observed {
    metrics: Mutex<Metrics>,
    accounts: Mutex<Accounts>,
    others: Mutex<Vec<Arc<dyn Exposed>>>,
    plan: PlanLabels,
}

impl Observed {
    /// Nothing has happened yet.
    pub fn new(plan: PlanLabels, queue: QueueLimits) -> Arc<Observed> {
        let accounts = Mutex::new(Accounts::new(queue));
        Arc::new(Observed { metrics: Mutex::default(), accounts, others: Mutex::default(), plan })
    }

    /// Shows what others count, too.
    pub fn show(&self, other: Arc<dyn Exposed>) {
        self.others().push(other);
    }

    /// What is served.
    pub fn plan(&self) -> &PlanLabels {
        &self.plan
    }

    // Counts stay sound whatever a thread that panicked was doing: each is changed at once.
    fn metrics(&self) -> MutexGuard<'_, Metrics> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn others(&self) -> MutexGuard<'_, Vec<Arc<dyn Exposed>>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine made a step over so many tokens, of which so many were decoded.
    pub fn step(&self, took: Duration, tokens: usize, decodes: usize) {
        self.metrics().step(took, tokens, decodes);
    }

    /// How busy an engine is.
    pub fn load(&self, engine: usize, load: &Load) {
        self.metrics().loads.insert(engine, *load);
    }

    /// A sequence was given to a prompt of so many tokens, of which so many were cached.
    pub fn admitted(&self, prompt: usize, cached: usize) {
        self.metrics().admitted(prompt, cached);
    }

    /// A token came so long after the one before it.
    pub fn inter_token(&self, between: Duration) {
        self.metrics().inter_token.observe(between.as_secs_f64());
    }

    /// A sequence ended; without a reason it was given up.
    pub fn finished(&self, finish: Option<Finish>, prompt: usize, tokens: usize, timing: &Timing) {
        self.metrics().finished(finish, prompt, tokens, timing);
    }

    /// Requests that wait or run.
    pub fn unfinished(&self) -> u64 {
        self.accounts().unfinished()
    }

    /// The metrics in the text format of Prometheus.
    pub fn exposition(&self) -> String {
        let mut to = Exposition::new(&self.plan);
        self.metrics().write(&mut to);
        self.accounts().write(&mut to);
        self.others().iter().for_each(|other| other.write(&mut to));
        to.finish()
    }
}
