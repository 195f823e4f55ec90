//! What goes into the next step: a state machine without clock, channels or engine, so that it can be simulated.
//!
//! - Sequences that decode come first, the oldest first, one token each; then prompts on their way; then waiting ones in the
//!   order of arrival, as far as the step's tokens, the sequences alive and the cache's pages reach.
//! - Prompts are cut into chunks, so that those who decode wait for one step at most.
//! - Where pages run out the youngest sequence is preempted: its pages are given up, it waits first in the queue, and what it
//!   had is computed again when there is room.
//! - A sequence is admitted only if its tokens fit beside what the admitted ones still lack, and a page more for each.

mod sequence;
#[cfg(test)]
mod simulation;

use std::collections::VecDeque;

pub use self::sequence::{JobId, Part};
use self::sequence::{Running, Waiting};

/// How large steps may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sequences admitted at a time.
    pub max_sequences: usize,
    /// Tokens of a step.
    pub max_tokens: usize,
    /// Tokens of prompts in a step that also decodes.
    pub prefill_tokens: usize,
    /// Positions of a page.
    pub page_tokens: usize,
}

/// The cache as the scheduler sees it: the engine's, or a model of it.
pub trait Cache {
    /// Pages that can be given.
    fn free_pages(&self) -> usize;
    /// Positions of a waiting job that are there already, and how many free pages they lie in.
    fn cached(&self, id: JobId) -> (usize, usize);
    /// Begins a sequence for the job; gives the positions that it holds from the start.
    fn admit(&mut self, id: JobId) -> usize;
    /// Ends the job's sequence.
    fn release(&mut self, id: JobId);
}

/// Who waits, and who is on the way.
pub struct Scheduler {
    limits: Limits,
    waiting: VecDeque<Waiting>,
    /// In the order of admission.
    running: Vec<Running>,
    preemptions: u64,
}

impl Scheduler {
    /// Nobody waits.
    pub fn new(limits: Limits) -> Scheduler {
        Scheduler { limits, waiting: VecDeque::new(), running: vec![], preemptions: 0 }
    }

    /// A job arrives with a prompt of so many tokens. It waits while `leader`, whose prompt is the same, computes it.
    pub fn arrive(&mut self, id: JobId, tokens: usize, leader: Option<JobId>) {
        self.waiting.push_back(Waiting { id, tokens, leader });
    }

    /// A token came for a job that a step sampled for.
    pub fn token(&mut self, id: JobId) {
        if let Some(running) = self.running.iter_mut().find(|running| running.id == id) {
            running.known += 1;
        }
    }

    /// A job has ended, or nobody wants it any more.
    pub fn remove(&mut self, id: JobId, cache: &mut impl Cache) {
        self.waiting.retain(|waiting| waiting.id != id);
        if let Some(at) = self.running.iter().position(|running| running.id == id) {
            self.running.remove(at);
            cache.release(id);
        }
    }

    /// Jobs without a sequence.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Jobs with a sequence.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// How many times a sequence was preempted.
    pub fn preemptions(&self) -> u64 {
        self.preemptions
    }

    /// The next step, which is taken to be executed: each part's tokens count as held from now on.
    pub fn next_step(&mut self, cache: &mut impl Cache) -> Vec<Part> {
        let mut step = vec![];
        let preemptions = self.preemptions;
        self.decode(&mut step, cache);
        let mut budget = self.limits.max_tokens - step.len();
        if !step.is_empty() {
            budget = budget.min(self.limits.prefill_tokens);
        }
        self.prefill(&mut step, &mut budget, cache);
        // Who has just been preempted would come straight back.
        if self.preemptions == preemptions {
            self.admit(&mut step, &mut budget, cache);
        }
        step
    }

    /// One token of each sequence that decodes, the oldest first.
    fn decode(&mut self, step: &mut Vec<Part>, cache: &mut impl Cache) {
        let mut at = 0;
        while at < self.running.len() && step.len() < self.limits.max_tokens {
            if self.running[at].lacks() == 1 && self.make_room(at, 1, step, cache) {
                step.push(self.running[at].take(1));
            }
            at += 1;
        }
    }

    /// Chunks of prompts on their way.
    fn prefill(&mut self, step: &mut Vec<Part>, budget: &mut usize, cache: &mut impl Cache) {
        let mut at = 0;
        while at < self.running.len() && *budget > 0 {
            let tokens = self.running[at].lacks().min(*budget);
            if tokens > 0 && self.make_room(at, tokens, step, cache) {
                step.push(self.running[at].take(tokens));
                *budget -= tokens;
            }
            at += 1;
        }
    }

    /// Preempts the youngest until the sequence `at` has pages for so many more tokens. Whether it has: it may be the youngest
    /// itself, or all younger ones may be part of the step already.
    fn make_room(&mut self, at: usize, tokens: usize, step: &[Part], cache: &mut impl Cache) -> bool {
        let claimed = |scheduler: &Scheduler| -> usize {
            let part = |part: &Part| scheduler.pages(part.from + part.tokens) - scheduler.pages(part.from);
            step.iter().map(part).sum()
        };
        loop {
            let running = &self.running[at];
            let needed = self.pages(running.held + tokens) - self.pages(running.held);
            if needed + claimed(self) <= cache.free_pages() {
                return true;
            }
            let scheduled = |running: &Running| step.iter().any(|part| part.id == running.id);
            let victim = self.running.iter().rposition(|running| !scheduled(running)).unwrap_or(at);
            if victim < at || (victim == at && !step.is_empty()) {
                return false;
            }
            self.preempt(victim, cache);
            if victim == at {
                return false;
            }
        }
    }

    fn preempt(&mut self, at: usize, cache: &mut impl Cache) {
        let Running { id, known, .. } = self.running.remove(at);
        cache.release(id);
        self.preemptions += 1;
        self.waiting.push_front(Waiting { id, tokens: known, leader: None });
    }

    /// Begins waiting jobs in their order, as far as tokens, sequences and pages reach.
    fn admit(&mut self, step: &mut Vec<Part>, budget: &mut usize, cache: &mut impl Cache) {
        // What the admitted ones lack of their known tokens, this step included, is theirs already.
        let held = |part: &Part| self.pages(part.from + part.tokens) - self.pages(part.from);
        let mut promised: usize = step.iter().map(held).sum();
        promised += self.running.iter().map(|r| self.pages(r.known) - self.pages(r.held)).sum::<usize>();
        while *budget > 0 && self.running.len() < self.limits.max_sequences {
            let Some(at) = self.waiting.iter().position(|waiting| !self.follows(waiting, step)) else {
                return;
            };
            let (id, tokens) = (self.waiting[at].id, self.waiting[at].tokens);
            let (positions, idle) = cache.cached(id);
            let needed = self.pages(tokens) - positions / self.limits.page_tokens + idle;
            let spare = if self.running.is_empty() { 0 } else { self.running.len() + 1 };
            if needed + spare + promised > cache.free_pages() {
                return;
            }
            self.waiting.remove(at);
            let held = cache.admit(id);
            let mut running = Running { id, held, known: tokens };
            let chunk = running.lacks().min(*budget);
            promised += self.pages(tokens) - self.pages(held);
            step.push(running.take(chunk));
            *budget -= chunk;
            self.running.push(running);
        }
    }

    /// Whether the leader of a waiting job has yet to compute the prompt that they share, be it in this step.
    fn follows(&self, waiting: &Waiting, step: &[Part]) -> bool {
        let Some(leader) = waiting.leader else { return false };
        let prefills = |running: &Running| running.id == leader && running.held < waiting.tokens;
        let computes = |part: &Part| part.id == leader && part.from < waiting.tokens;
        self.waiting.iter().any(|other| other.id == leader)
            || self.running.iter().any(prefills)
            || step.iter().any(computes)
    }

    fn pages(&self, positions: usize) -> usize {
        positions.div_ceil(self.limits.page_tokens)
    }
}
