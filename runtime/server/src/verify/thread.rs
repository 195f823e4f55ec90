//! The verifier at work: a client of the engine that asks for the same again.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use samp_abi::TargetName;
use samp_runtime::{Chunk, Completion, Engine, EngineError, OpenPlan, Outputs, Request, Tokenizer};
use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;

use super::{
    queue::AnsweredQueue,
    record::{Answered, Mismatch},
    scales::ScaleUse,
};
use crate::{
    api::PromptToken,
    engine::{EngineHandle, Event, Job, JobOptions},
    error::ServeError,
    judge::{Cause, Judge},
    observe::{Exposed, Exposition, log},
};

/// Tokens of an answer whose keys and values are looked at.
const LOOKED_AT: usize = 256;
/// How far logits may be apart on a device that is not exact, where the plan has no probe that says so.
const LOOSE: f64 = 0.1;

/// What the verifier does.
#[derive(Clone)]
pub struct VerifySettings {
    /// The part of the plan's answers that is computed again.
    pub share: f64,
    /// How often the golden probe is run; never where it is zero.
    pub golden_interval: Duration,
}

#[derive(Default)]
struct Counts {
    rescored: u64,
    mismatches: u64,
    probes: u64,
    failures: u64,
    scale_use: f32,
}

/// What a verifier is made of.
pub struct VerifierParts {
    /// What it does.
    pub settings: VerifySettings,
    /// The plan that is served.
    pub plan: Arc<OpenPlan>,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Positions that a sequence may have.
    pub max_model_len: usize,
    /// Who has a baseline take over from it, if there is one.
    pub judge: Option<Arc<Judge>>,
}

/// The verifier, as those see it who ask it.
pub struct Verifier {
    parts: VerifierParts,
    counts: Mutex<Counts>,
    failed: AtomicBool,
    queue: Arc<AnsweredQueue>,
    /// Until the thread has it.
    waiting: Mutex<Option<Receiver<Answered>>>,
}

impl Verifier {
    /// One that has seen nothing.
    pub fn new(parts: VerifierParts) -> Arc<Verifier> {
        let (queue, waiting) = AnsweredQueue::new(parts.max_model_len);
        let (counts, failed) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Verifier {
            parts,
            counts,
            failed,
            queue: Arc::new(queue),
            waiting: Mutex::new(Some(waiting)),
        })
    }

    /// Starts its thread, which ends with the engine or with the last who holds the verifier.
    pub fn start(self: &Arc<Verifier>, engine: EngineHandle) -> Result<(), ServeError> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(waiting) = waiting else { return Ok(()) };
        let verifying = Arc::downgrade(self);
        let work = move || {
            let mut probed = Instant::now();
            while let Some(verifier) = verifying.upgrade() {
                if !verifier.next(&waiting, &engine, &mut probed) {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("verify".into()).spawn(work).map(drop).map_err(ServeError::Thread)
    }

    /// Where answers go that are to be computed again.
    pub fn queue(&self) -> &Arc<AnsweredQueue> {
        &self.queue
    }

    /// Whether an answer, by a number from 0 to 1, is to be computed again.
    pub fn samples(&self, random: f64) -> bool {
        random < self.parts.settings.share
    }

    /// Whether the plan has computed wrongly.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Each is changed at once.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is next; whether the engine is still there.
    fn next(&self, waiting: &Receiver<Answered>, engine: &EngineHandle, probed: &mut Instant) -> bool {
        let interval = self.parts.settings.golden_interval;
        // Short enough to notice that nobody holds the verifier any more.
        let answered = waiting.recv_timeout(Duration::from_millis(500));
        let goes_on = match answered {
            Ok(answered) => self.rescore(engine, &answered) && self.look_at_scales(engine, answered),
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        };
        if goes_on && !interval.is_zero() && probed.elapsed() >= interval {
            *probed = Instant::now();
            return self.probe(engine);
        }
        goes_on
    }

    /// The largest difference that the device may make.
    fn tolerance(&self) -> f32 {
        match self.parts.plan.manifest().target {
            TargetName::Cpu => 0.0,
            // A log-probability is a logit less the logarithm of a sum of others'.
            _ => 2.0 * self.parts.plan.golden().map_or(LOOSE, |golden| golden.tolerance) as f32,
        }
    }

    /// Computes an answer again, as a prompt.
    fn rescore(&self, engine: &EngineHandle, answered: &Answered) -> bool {
        let request = Request { prompt: answered.tokens.clone(), max_tokens: 0, ..Request::default() };
        let Ok(completion) =
            Completion::new(self.parts.tokenizer.clone(), self.parts.plan.manifest(), request)
        else {
            return true;
        };
        let (events, mut told) = unbounded_channel();
        let options = JobOptions { prompt_logprobs: Some(0), ..JobOptions::default() };
        if engine.begin(vec![Job::of_server(completion, options, events)]).is_err() {
            return false;
        }
        let mut rows: Vec<PromptToken> = vec![];
        loop {
            match told.blocking_recv() {
                Some(Event::Prompt(_, known)) => rows = known,
                Some(Event::Token(..)) => {}
                Some(Event::Done(..)) => break,
                Some(Event::Failed(failure)) => {
                    log::error("rescore", json!({ "code": failure.code, "error": failure.message }));
                    return !failure.fatal;
                }
                None => return false,
            }
        }
        let again = rows.iter().skip(answered.prompt - 1).map(|row| row.logprob);
        self.counts().rescored += 1;
        if let Some(Mismatch { token, served, again }) = answered.mismatch(again, self.tolerance()) {
            self.counts().mismatches += 1;
            self.fail(Cause::Rescore, &json!({ "token": token, "served": served, "again": again }));
        }
        true
    }

    fn probe(&self, engine: &EngineHandle) -> bool {
        let Some(golden) = self.parts.plan.golden().cloned() else { return true };
        let Some(probed) = engine.between_steps(move |engine| engine.self_test(&golden)) else {
            return false;
        };
        match probed {
            Ok(()) => self.counts().probes += 1,
            Err(EngineError::Golden(error)) => {
                let mut counts = self.counts();
                counts.probes += 1;
                counts.failures += 1;
                drop(counts);
                self.fail(Cause::Golden, &json!({ "error": error.to_string() }));
            }
            // There is no room for it now: later.
            Err(_) => {}
        }
        true
    }

    fn look_at_scales(&self, engine: &EngineHandle, answered: Answered) -> bool {
        let manifest = self.parts.plan.manifest();
        let Some(mut seen) = ScaleUse::new(&manifest.kv, manifest.model.kv_heads) else { return true };
        let mut tokens = answered.tokens;
        tokens.truncate(LOOKED_AT);
        let look = move |engine: &mut Engine| -> Result<f32, EngineError> {
            let sequence = engine.create()?;
            let chunk = Chunk { sequence, tokens: &tokens, outputs: Outputs::None };
            let observed = engine.append_observed(chunk, &mut seen);
            engine.release(sequence);
            observed.map(|_| seen.most())
        };
        match engine.between_steps(look) {
            // Where there is no room, another answer is looked at.
            Some(looked) => {
                let mut counts = self.counts();
                counts.scale_use = counts.scale_use.max(looked.unwrap_or(0.0));
                true
            }
            None => false,
        }
    }

    /// The plan computes wrongly: the baseline takes over, or nobody is sent here any more.
    fn fail(&self, cause: Cause, found: &serde_json::Value) {
        log::error("wrong", json!({ "cause": cause, "found": found }));
        self.failed.store(true, Ordering::SeqCst);
        self.parts.judge.iter().for_each(|judge| judge.plan_is_wrong(cause.clone()));
    }
}

impl Exposed for Verifier {
    fn write(&self, to: &mut Exposition) {
        let counts = self.counts();
        for (name, help, value) in [
            ("samp_rescored_total", "Answers whose log-probabilities were computed again.", counts.rescored),
            (
                "samp_rescore_mismatch_total",
                "Answers that were served with other log-probabilities than the plan's.",
                counts.mismatches,
            ),
            (
                "samp_rescore_dropped_total",
                "Answers that were not, since too many waited.",
                self.queue.dropped(),
            ),
            ("samp_golden_probes_total", "Times that the golden probe was run while serving.", counts.probes),
            (
                "samp_golden_failures_total",
                "Times that it gave other logits than the plan's.",
                counts.failures,
            ),
        ] {
            to.counter(name, help, &[], value);
        }
        to.gauge(
            "quantization_scale_drift",
            "The largest keys and values seen over the largest that their static scales hold; beyond 1 they are cut off. 0 \
             where the plan has no static scales.",
            &[],
            counts.scale_use,
        );
    }
}
