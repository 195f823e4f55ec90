//! The thread's loop.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError},
    },
    time::Instant,
};

use samp_runtime::{
    Chunk, Engine, EngineError, Output, OutputRequest, Outputs, Sampled, Sampler, Sampling, SequenceId,
};

use super::{
    Command, EngineSettings, Event, Job,
    cache::EngineCache,
    job::{Active, JobFailure},
};
use crate::{
    api::PromptToken,
    error::ServeError,
    judge::ShadowSample,
    observe::{Load, Observed, Timing},
    schedule::{JobId, Part, Scheduler},
};

/// What the thread holds.
pub(super) struct Worker {
    engine: Engine,
    settings: EngineSettings,
    commands: Receiver<Command>,
    observed: Arc<Observed>,
    scheduler: Scheduler,
    jobs: BTreeMap<JobId, Active>,
    sequences: BTreeMap<JobId, SequenceId>,
    next_id: u64,
    stopping: bool,
}

impl Worker {
    pub fn new(
        engine: Engine,
        settings: EngineSettings,
        commands: Receiver<Command>,
        observed: Arc<Observed>,
    ) -> Worker {
        let scheduler = Scheduler::new(settings.limits);
        let (jobs, sequences) = Default::default();
        Worker {
            engine,
            settings,
            commands,
            observed,
            scheduler,
            jobs,
            sequences,
            next_id: 0,
            stopping: false,
        }
    }

    /// Works until it is told to stop and nothing is left to do.
    pub fn run(mut self) -> Result<(), ServeError> {
        loop {
            self.take_commands();
            self.give_up_abandoned();
            if self.scheduler.is_idle() {
                if self.stopping {
                    return Ok(());
                }
                continue;
            }
            if let Err(error) = self.step() {
                self.fail(&error);
                return Err(error.into());
            }
        }
    }

    /// Takes what has come; waits for something where there is nothing to do.
    fn take_commands(&mut self) {
        loop {
            let idle = self.scheduler.is_idle() && !self.stopping;
            let command = match idle {
                true => self.commands.recv().map_err(|_| TryRecvError::Disconnected),
                false => self.commands.try_recv(),
            };
            match command {
                Ok(Command::Begin(jobs)) => self.begin(jobs),
                Ok(Command::Inspect(work)) => work(&mut self.engine),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => {
                    self.stopping = true;
                    return;
                }
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    fn begin(&mut self, jobs: Vec<Job>) {
        let leader = JobId(self.next_id);
        for job in jobs {
            let id = JobId(self.next_id);
            self.next_id += 1;
            let follows = id != leader && self.settings.prefix_caching;
            self.scheduler.arrive(id, job.completion.history().len(), follows.then_some(leader));
            let timing = Timing::now();
            self.jobs.insert(id, Active { id, job, timing, prompt_rows: vec![], started: false });
        }
    }

    /// Ends the jobs whose owners have gone.
    fn give_up_abandoned(&mut self) {
        let gone = self.jobs.values().filter(|active| active.job.events.is_closed());
        let gone: Vec<JobId> = gone.map(|active| active.id).collect();
        for id in gone {
            self.finish(id);
        }
        self.show_load();
    }

    fn remove(&mut self, id: JobId) -> Option<Active> {
        let (scheduler, mut cache) = self.parts();
        scheduler.remove(id, &mut cache);
        self.jobs.remove(&id)
    }

    fn parts(&mut self) -> (&mut Scheduler, EngineCache<'_>) {
        let prefix_caching = self.settings.prefix_caching;
        let Worker { engine, jobs, sequences, scheduler, .. } = self;
        (scheduler, EngineCache { engine, jobs, sequences, prefix_caching })
    }

    /// One step: what it is, what comes of it, and who is told.
    fn step(&mut self) -> Result<(), EngineError> {
        let (scheduler, mut cache) = self.parts();
        let parts = scheduler.next_step(&mut cache);
        self.tell_of_admissions(&parts);
        let began = Instant::now();
        let outputs = self.execute(&parts)?;
        let took = began.elapsed();
        let mut outputs = outputs.into_iter();
        let tokens = parts.iter().map(|part| part.tokens).sum();
        let decodes = parts.iter().filter(|part| part.samples && part.tokens == 1).count();
        for part in &parts {
            self.deliver(part, &mut outputs);
        }
        self.observed.step(took, tokens, decodes);
        self.show_load();
        Ok(())
    }

    fn show_load(&self) {
        self.observed.load(
            self.settings.index,
            &Load {
                waiting: self.scheduler.waiting(),
                running: self.scheduler.running(),
                preemptions: self.scheduler.preemptions(),
                kv: self.engine.kv_usage(),
            },
        );
    }

    fn tell_of_admissions(&mut self, parts: &[Part]) {
        for part in parts {
            let Some(active) = self.jobs.get_mut(&part.id).filter(|active| !active.started) else { continue };
            active.started = true;
            let Some(ticket) = &active.job.ticket else { continue };
            ticket.started();
            let prompt = active.job.completion.prompt().len();
            self.observed.admitted(prompt, active.timing.cached);
        }
    }

    /// Runs the engine over the parts. Rows of the prompt come before the row that is sampled from.
    fn execute(&mut self, parts: &[Part]) -> Result<Vec<Output>, EngineError> {
        for part in parts.iter().filter(|part| part.samples) {
            let shadow = self.jobs.get_mut(&part.id).and_then(|active| active.job.shadow.as_mut());
            shadow.into_iter().for_each(ShadowSample::decide);
        }
        let mut chunks = Vec::with_capacity(parts.len());
        let mut requests = vec![];
        for part in parts {
            let Active { job, .. } = &self.jobs[&part.id];
            let tokens = &job.completion.history()[part.from..part.from + part.tokens];
            let outputs = match (prompt_rows(job, part), part.samples) {
                (0, true) => Outputs::Last,
                (0, false) => Outputs::None,
                _ => Outputs::All,
            };
            let rows = if matches!(outputs, Outputs::All) { part.tokens } else { usize::from(part.samples) };
            let sample =
                job.completion.sample_request().filter(|_| part.samples && job.is_sampled_on_device());
            let shadowed = job.shadow.as_ref().is_some_and(ShadowSample::wants_logits);
            for row in 0..rows {
                let last = row + 1 == rows && part.samples;
                let sample = sample.filter(|_| last);
                requests.push(OutputRequest { sample, logits: sample.is_none() || (last && shadowed) });
            }
            chunks.push(Chunk { sequence: self.sequences[&part.id], tokens, outputs });
        }
        self.engine.step_mixed(&chunks, &requests)
    }

    /// Gives a job what the step brought it.
    fn deliver(&mut self, part: &Part, outputs: &mut impl Iterator<Item = Output>) {
        let Some(active) = self.jobs.get_mut(&part.id) else { return };
        let rows = prompt_rows(&active.job, part);
        if rows > 0 {
            let between = if part.samples { part.tokens - 1 } else { part.tokens };
            active.read_prompt(part.from, outputs.take(between));
        }
        if !part.samples {
            return;
        }
        let Some(output) = outputs.next() else { return };
        if active.job.completion.finish().is_some() {
            // No token was asked for: the prompt alone was to be seen.
            return self.finish(part.id);
        }
        let accepted = active.job.take(output);
        let now = Instant::now();
        match accepted {
            Ok(delta) => {
                let previous = active.timing.last_token.replace(now);
                match previous {
                    Some(previous) => self.observed.inter_token(now - previous),
                    None => active.timing.first_token = Some(now),
                }
                let finished = delta.finish;
                let listened = active.tell(Event::Token(active.job.choice, delta));
                match finished {
                    None if listened => self.scheduler.token(part.id),
                    _ => self.finish(part.id),
                }
            }
            Err(failure) => {
                if let Some(active) = self.remove(part.id) {
                    active.tell(Event::Failed(failure));
                }
            }
        }
    }

    fn finish(&mut self, id: JobId) {
        if let Some(mut active) = self.remove(id) {
            self.show_judge(&mut active);
            self.show_verifier(&mut active);
            let (prompt, tokens) =
                (active.job.completion.prompt().len(), active.job.completion.tokens().len());
            if active.job.ticket.is_some() {
                self.observed.finished(active.job.completion.finish(), prompt, tokens, &active.timing);
            }
            active.tell(Event::Done(active.job.choice, active.timing));
        }
    }

    /// Hands an answer that has come to its end to the judge, if it is to score it.
    fn show_judge(&self, active: &mut Active) {
        let ended = active.job.completion.finish().is_some();
        let (Some(shadow), Some(judge)) = (active.job.shadow.take().filter(|_| ended), &self.settings.judge)
        else {
            return;
        };
        let completion = &active.job.completion;
        let served = shadow.served(completion.prompt().len(), completion.history());
        served.into_iter().for_each(|served| judge.served(served));
    }

    /// Hands an answer that has come to its end to the verifier, if it is to compute it again.
    fn show_verifier(&self, active: &mut Active) {
        let ended = active.job.completion.finish().is_some();
        let (Some(record), Some(queue)) = (active.job.verify.take().filter(|_| ended), &self.settings.verify)
        else {
            return;
        };
        let completion = &active.job.completion;
        let answered = record.answered(completion.prompt().len(), completion.history(), queue.positions());
        answered.into_iter().for_each(|answered| queue.push(answered));
    }

    /// Tells everyone that the engine cannot go on.
    fn fail(&mut self, error: &EngineError) {
        for active in std::mem::take(&mut self.jobs).into_values() {
            let (code, message) = (error.code(), error.to_string());
            active.tell(Event::Failed(JobFailure { code, message, fatal: true }));
        }
    }
}

/// Rows of a part that lie in the prompt before its last token, where their logits are wanted.
fn prompt_rows(job: &Job, part: &Part) -> usize {
    let wanted = job.options.prompt_logprobs.is_some();
    let prompt = job.completion.prompt().len();
    if wanted { (prompt - 1).saturating_sub(part.from).min(part.tokens) } else { 0 }
}

impl Active {
    /// Reads the log-probabilities of the prompt's tokens after `from` from the rows before them.
    fn read_prompt(&mut self, from: usize, outputs: impl Iterator<Item = Output>) {
        let prompt = self.job.completion.prompt();
        let top_logprobs = self.job.options.prompt_logprobs.unwrap_or(0);
        let rows: Vec<Vec<f32>> = outputs.filter_map(|output| output.logits).collect();
        let rows = rows.into_iter().zip(&prompt[from + 1..]);
        let seen = self.prompt_rows.len();
        let mut read: Vec<PromptToken> = vec![];
        for (logits, token) in rows {
            let sampling = Sampling { top_logprobs, ..Sampling::default() };
            let scored = Sampler::new(sampling).and_then(|sampler| sampler.score(&logits, *token));
            // Logits that are no numbers fail the request where it samples.
            let Ok(Sampled { logprob, top, .. }) = scored else { return };
            read.push(PromptToken { logprob, top });
        }
        // After a preemption the rows come again.
        self.prompt_rows.truncate(from.min(seen));
        self.prompt_rows.extend(read);
        if self.prompt_rows.len() + 1 == self.job.completion.prompt().len() {
            let rows = self.prompt_rows.clone();
            self.tell(Event::Prompt(self.job.choice, rows));
        }
    }
}
