//! A request's entry in the accounts.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::{
    Observed,
    accounts::{Outcome, QueueFull, Summary},
    log,
};

enum State {
    Received,
    Queued(usize),
    Running,
}

struct Record {
    state: State,
    outcome: Option<Outcome>,
    summary: Summary,
}

/// A request's entry in the accounts, from its first byte to its end. Let go without an outcome it counts as cancelled.
pub struct Ticket {
    observed: Arc<Observed>,
    request_id: String,
    received: Instant,
    record: Mutex<Record>,
}

impl Ticket {
    /// A request came.
    pub fn new(observed: &Arc<Observed>, request_id: String) -> Ticket {
        let mut accounts = observed.accounts();
        accounts.received += 1;
        accounts.waiting += 1;
        let record = Record { state: State::Received, outcome: None, summary: Summary::default() };
        Ticket {
            observed: observed.clone(),
            request_id,
            received: Instant::now(),
            record: Mutex::new(record),
        }
    }

    /// What the request is called.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the queue for prompts of so many tokens.
    pub fn enqueue(&self, tokens: usize) -> Result<(), QueueFull> {
        self.observed.accounts().enqueue(tokens, Instant::now())?;
        self.record().state = State::Queued(tokens);
        Ok(())
    }

    /// The first of its sequences has begun.
    pub fn started(&self) {
        let mut record = self.record();
        if let State::Queued(tokens) = record.state {
            let mut accounts = self.observed.accounts();
            accounts.leave_queue(tokens);
            accounts.start(Instant::now());
            record.state = State::Running;
        }
    }

    /// Notes how it ended; the first that is said counts.
    pub fn end(&self, outcome: Outcome) {
        self.record().outcome.get_or_insert(outcome);
    }

    /// Notes what is known of it.
    pub fn summarize(&self, change: impl FnOnce(&mut Summary)) {
        change(&mut self.record().summary);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let record = self.record.get_mut().unwrap_or_else(PoisonError::into_inner);
        let outcome = record.outcome.unwrap_or(Outcome::Cancelled);
        let mut accounts = self.observed.accounts();
        match record.state {
            State::Received => accounts.waiting -= 1,
            State::Queued(tokens) => {
                accounts.leave_queue(tokens);
                accounts.waiting -= 1;
            }
            State::Running => accounts.running -= 1,
        }
        accounts.outcomes[outcome as usize] += 1;
        drop(accounts);
        log::request(
            &self.request_id,
            self.observed.plan(),
            outcome,
            self.received.elapsed(),
            &record.summary,
        );
    }
}
