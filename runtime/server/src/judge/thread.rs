//! The judge at work: its thread scores what was served, and everyone may ask it who answers.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    reference::Reference,
    settings::JudgeSettings,
    shadow::Served,
    state::{Cause, JudgeState, Stage},
    state_file,
};
use crate::{
    clock::now,
    error::ServeError,
    observe::{Exposed, Exposition, log},
};

/// Answers that wait to be scored; what comes beyond is dropped, and counted.
const QUEUE: usize = 64;
/// How often the judge looks at the clock where nothing comes.
const LOOK: Duration = Duration::from_secs(1);
/// A judge that has scored nothing for so long, though answers were sampled, is blind.
const BLIND_AFTER: Duration = Duration::from_secs(60);

/// What a judge is made of.
pub struct JudgeParts {
    /// Whom the plan is compared with.
    pub reference: Reference,
    /// The digests of the plan and of the baseline, or what else names that.
    pub names: [String; 2],
    /// What the plan is held to.
    pub settings: JudgeSettings,
    /// The part of the plan's answers that is scored.
    pub share: f64,
    /// Where it remembers, if it is to.
    pub state_file: Option<PathBuf>,
}

#[derive(Default)]
struct Counts {
    sampled: u64,
    scored: u64,
    dropped: u64,
    failed: u64,
    last_scored: Option<Instant>,
    /// When the first answer was sampled that nothing has been scored since.
    waiting_since: Option<Instant>,
    ended: bool,
}

/// The judge, as those see it who ask it.
pub struct Judge {
    settings: JudgeSettings,
    share: f64,
    state: Mutex<JudgeState>,
    counts: Mutex<Counts>,
    state_file: Option<PathBuf>,
    queue: SyncSender<Served>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Both are changed at once: what a thread that panicked left is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Judge {
    /// Starts the judge's thread.
    pub fn start(parts: JudgeParts) -> Result<Arc<Judge>, ServeError> {
        let JudgeParts { reference, names: [plan, baseline], settings, share, state_file } = parts;
        let unusable =
            |path: &PathBuf, source| ServeError::StateFile { path: path.display().to_string(), source };
        let remembered = match &state_file {
            Some(path) => state_file::read(path, &plan, &baseline).map_err(|error| unusable(path, error))?,
            None => None,
        };
        let state = remembered.unwrap_or_else(|| JudgeState::new(plan, baseline, &settings));
        if let Some(path) = &state_file {
            state_file::write(path, &state).map_err(|error| unusable(path, error))?;
        }
        let (queue, served) = sync_channel(QUEUE);
        let (state, counts) = (Mutex::new(state), Mutex::default());
        let judge = Arc::new(Judge { settings, share, state, counts, state_file, queue });
        let judging = Arc::downgrade(&judge);
        let work = move || {
            let mut reference = reference;
            while let Some(judge) = judging.upgrade() {
                let ended = judge.next(&served, &mut reference);
                if ended {
                    held(&judge.counts).ended = true;
                    return;
                }
            }
        };
        std::thread::Builder::new().name("judge".into()).spawn(work).map_err(ServeError::Thread)?;
        Ok(judge)
    }

    /// Whether a request, by a number from 0 to 1, is the plan's to answer.
    pub fn plan_answers(&self, random: f64) -> bool {
        random < held(&self.state).weight(&self.settings)
    }

    /// Whether an answer of the plan's, by a number from 0 to 1, is to be scored.
    pub fn samples(&self, random: f64) -> bool {
        random < self.share
    }

    /// An answer has ended that is to be scored.
    pub fn served(&self, served: Served) {
        let sent = self.queue.try_send(served);
        let mut counts = held(&self.counts);
        counts.sampled += 1;
        counts.waiting_since.get_or_insert_with(Instant::now);
        match sent {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => counts.dropped += 1,
        }
    }

    /// An operator lets the plan try again.
    pub fn promote(&self) {
        self.change(|state, settings| state.promote(settings));
    }

    /// An operator has the baseline answer.
    pub fn roll_back(&self) {
        self.change(|state, _| state.roll_back(Cause::Operator, now()));
    }

    /// The plan computes wrongly.
    pub fn plan_is_wrong(&self, cause: Cause) {
        self.change(|state, _| state.roll_back(cause, now()));
    }

    /// Whether the plan may be trusted, and why or why not: it serves, nothing has alarmed, and the judge sees.
    pub fn gate(&self) -> (bool, Value) {
        let state = held(&self.state).clone();
        let blind = self.is_blind();
        let opens = matches!(state.stage, Stage::Plan | Stage::Canary(_)) && !blind;
        let strata: serde_json::Map<String, Value> = state
            .strata
            .iter()
            .map(|(name, seen)| {
                let of = json!({
                    "requests": seen.requests(), "kl_nats": seen.mean(), "drift_percent": 100.0 * seen.mean().exp_m1(),
                });
                (name.clone(), of)
            })
            .collect();
        let said = json!({
            "open": opens, "stage": state.stage, "weight": state.weight(&self.settings), "blind": blind,
            "limit_nats": self.settings.limit, "rollbacks": state.rollbacks, "rolled_back": state.rolled_back,
            "strata": strata, "plan": state.plan, "baseline": state.baseline,
        });
        (opens, said)
    }

    fn is_blind(&self) -> bool {
        let counts = held(&self.counts);
        counts.ended || counts.waiting_since.is_some_and(|since| since.elapsed() > BLIND_AFTER)
    }

    /// Scores the next answer, or looks at the clock. Whether nothing more comes.
    fn next(&self, served: &Receiver<Served>, reference: &mut Reference) -> bool {
        match served.recv_timeout(LOOK) {
            Ok(served) => self.score(reference, &served),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return true,
        }
        self.change(|state, settings| state.tick(settings, now()));
        false
    }

    fn score(&self, reference: &mut Reference, served: &Served) {
        let scored = reference.mean_divergence(served);
        let mut counts = held(&self.counts);
        let mean = match scored {
            Ok(mean) => mean,
            Err(error) => {
                counts.failed += 1;
                drop(counts);
                return log::error("score", json!({ "error": error.to_string() }));
            }
        };
        counts.scored += 1;
        counts.last_scored = Some(Instant::now());
        counts.waiting_since = None;
        drop(counts);
        self.change(|state, settings| state.scored(&served.stratum, mean, settings, now()));
    }

    /// Changes the state; where the stage changes it is said and written.
    fn change(&self, change: impl FnOnce(&mut JudgeState, &JudgeSettings)) {
        let mut state = held(&self.state);
        let before = state.stage;
        change(&mut state, &self.settings);
        if state.stage == before {
            return;
        }
        let weight = state.weight(&self.settings);
        log::event(
            "stage",
            json!({ "from": before, "to": state.stage, "weight": weight, "cause": state.rolled_back }),
        );
        if let Some(path) = &self.state_file
            && let Err(error) = state_file::write(path, &state)
        {
            // What was decided holds, whether or not it can be written down.
            log::error(
                "state_file",
                json!({ "path": path.display().to_string(), "error": error.to_string() }),
            );
        }
    }
}

impl Exposed for Judge {
    fn write(&self, to: &mut Exposition) {
        let (state, blind) = (held(&self.state).clone(), self.is_blind());
        let counts = held(&self.counts);
        for (name, help, value) in [
            ("samp_shadow_sampled_total", "Answers of the plan that were to be scored.", counts.sampled),
            ("samp_shadow_scored_total", "Answers that were scored against the baseline.", counts.scored),
            (
                "samp_shadow_dropped_total",
                "Answers that were not scored, since too many waited.",
                counts.dropped,
            ),
            ("samp_shadow_failed_total", "Answers that the baseline could not score.", counts.failed),
            ("samp_rollbacks_total", "Times that the baseline took over.", state.rollbacks),
        ] {
            to.counter(name, help, &[], value);
        }
        to.gauge(
            "samp_shadow_blind",
            "1 where the judge has scored nothing though answers were sampled.",
            &[],
            u8::from(blind),
        );
        to.gauge(
            "samp_promised_kl_nats",
            "The largest mean divergence that the plan may have.",
            &[],
            self.settings.limit,
        );
        let weight = state.weight(&self.settings);
        for (plan, weight) in [("plan", weight), ("baseline", 1.0 - weight)] {
            let labels = [("plan", plan.to_owned())];
            to.gauge("samp_route_weight", "The part of new requests that each answers.", &labels, weight);
        }
        type Of = fn(&super::Stratum) -> f64;
        let of: [(&str, &str, Of); 3] = [
            ("samp_shadow_kl_nats", "Mean divergence of scored answers from the baseline.", |seen| {
                seen.mean()
            }),
            ("samp_shadow_drift_percent", "The same as growth of perplexity.", |seen| {
                100.0 * seen.mean().exp_m1()
            }),
            (
                "samp_shadow_evidence",
                "Logarithm to base 10 of the evidence that the limit is exceeded; 6 alarms.",
                |seen| (seen.log_evidence() / std::f64::consts::LN_10).max(-99.0),
            ),
        ];
        for (name, help, value) in of {
            for (stratum, seen) in &state.strata {
                to.gauge(name, help, &[("stratum", stratum.clone())], value(seen));
            }
        }
    }
}
