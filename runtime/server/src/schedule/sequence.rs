//! What the scheduler knows of a job.

use std::fmt;

/// A job: one sequence to be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {}", self.0)
    }
}

/// What a step appends to one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whose sequence.
    pub id: JobId,
    /// Positions that it holds before.
    pub from: usize,
    /// Tokens appended.
    pub tokens: usize,
    /// Whether these are the last known, so that the next is to be sampled.
    pub samples: bool,
}

/// A job without a sequence.
pub(super) struct Waiting {
    pub id: JobId,
    /// Tokens known: the prompt, and what came before it was preempted.
    pub tokens: usize,
    /// Whose prompt is the same.
    pub leader: Option<JobId>,
}

/// A job with a sequence.
#[derive(Clone, Copy)]
pub(super) struct Running {
    pub id: JobId,
    /// Positions that the cache holds.
    pub held: usize,
    /// Tokens known.
    pub known: usize,
}

impl Running {
    /// Tokens that the cache lacks: one where it decodes, none where a sampled token has yet to be told of.
    pub fn lacks(&self) -> usize {
        self.known - self.held
    }

    /// Makes so many of the tokens that it lacks part of a step.
    pub fn take(&mut self, tokens: usize) -> Part {
        let from = self.held;
        self.held += tokens;
        Part { id: self.id, from, tokens, samples: self.held == self.known }
    }
}
