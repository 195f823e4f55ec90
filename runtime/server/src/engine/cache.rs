//! The engine's cache as the scheduler sees it: jobs in place of sequences.

use std::{collections::BTreeMap, time::Instant};

use samp_runtime::{CachedPrefix, Engine, SequenceId};

use super::job::Active;
use crate::schedule::{Cache, JobId};

/// The engine with the jobs whose sequences it holds.
pub(super) struct EngineCache<'a> {
    pub engine: &'a mut Engine,
    pub jobs: &'a mut BTreeMap<JobId, Active>,
    pub sequences: &'a mut BTreeMap<JobId, SequenceId>,
    pub prefix_caching: bool,
}

impl EngineCache<'_> {
    /// The tokens that a job's sequence is to hold, and its salt, if its beginning may be taken from others.
    fn shared(&self, id: JobId) -> Option<(&[u32], &[u8])> {
        let job = &self.jobs[&id].job;
        let shares = self.prefix_caching && job.options.prompt_logprobs.is_none();
        shares.then(|| (job.completion.history(), job.options.salt.as_slice()))
    }
}

impl Cache for EngineCache<'_> {
    fn free_pages(&self) -> usize {
        let usage = self.engine.kv_usage();
        usage.total_pages - usage.used_pages
    }

    fn cached(&self, id: JobId) -> (usize, usize) {
        let Some((tokens, salt)) = self.shared(id) else { return (0, 0) };
        let CachedPrefix { positions, idle_pages } = self.engine.cached_prefix(tokens, salt);
        (positions, idle_pages)
    }

    fn admit(&mut self, id: JobId) -> usize {
        let made = match self.shared(id).map(|(tokens, salt)| (tokens.to_vec(), salt.to_vec())) {
            Some((tokens, salt)) => self.engine.create_cached(&tokens, &salt),
            None => self.engine.create().map(|sequence| (sequence, 0)),
        };
        // The scheduler admits no more sequences than the plan takes, and there is nothing else that could be refused.
        let (sequence, cached) = made.expect("a sequence within the plan's limits");
        self.sequences.insert(id, sequence);
        if let Some(active) = self.jobs.get_mut(&id).filter(|active| active.timing.admitted.is_none()) {
            active.timing.admitted = Some(Instant::now());
            active.timing.cached = cached;
        }
        cached
    }

    fn release(&mut self, id: JobId) {
        if let Some(sequence) = self.sequences.remove(&id) {
            self.engine.release(sequence);
        }
    }
}
