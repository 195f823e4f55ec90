//! The judge's state: which stage the plan is in, and the evidence of each stratum. Without clock, engine or files: what is
//! scored, and the time, come from outside.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    bound::UpperBound,
    detector::Detector,
    settings::{ALARM, ALPHA, CLIP, JudgeSettings, LEAST_REQUESTS, MAX_STRATA},
};

/// Who answers requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The plan a part of them, by the step of the canary; the baseline the others.
    Canary(usize),
    /// The plan all of them.
    Plan,
    /// The baseline all of them, until the plan may try again.
    RolledBack,
    /// The baseline all of them, until an operator says otherwise.
    Latched,
}

/// What was seen of one stratum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    detector: Detector,
    bound: UpperBound,
    requests: u64,
    sum: f64,
}

impl Stratum {
    /// Requests that were scored.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Their mean divergence in nats.
    pub fn mean(&self) -> f64 {
        self.sum / self.requests.max(1) as f64
    }

    /// The logarithm of the evidence that the limit is exceeded.
    pub fn log_evidence(&self) -> f64 {
        self.detector.log_evidence()
    }
}

/// Why the plan was rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The divergence of a stratum exceeds the limit.
    Drift(String),
    /// The golden probe failed.
    Golden,
    /// Tokens were served with other log-probabilities than they have.
    Rescore,
    /// An operator said so.
    Operator,
}

/// All that the judge remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgeState {
    /// The plan that is judged; another one begins anew.
    pub plan: String,
    /// What it is judged by.
    pub baseline: String,
    /// Who answers.
    pub stage: Stage,
    /// When the plan was rolled back, in seconds since 1970, and why.
    pub rolled_back: Option<(u64, Cause)>,
    /// How many times it was.
    pub rollbacks: u64,
    /// The evidence since the stage began.
    pub strata: BTreeMap<String, Stratum>,
    /// Whether half the limit is asked for: after a rollback.
    strict: bool,
}

impl JudgeState {
    /// At the beginning: at the canary's first step, if it has one.
    pub fn new(plan: String, baseline: String, settings: &JudgeSettings) -> JudgeState {
        let stage = if settings.canary.is_empty() { Stage::Plan } else { Stage::Canary(0) };
        let (rolled_back, strata) = Default::default();
        JudgeState { plan, baseline, stage, rolled_back, rollbacks: 0, strata, strict: false }
    }

    /// The part of new requests that the plan answers.
    pub fn weight(&self, settings: &JudgeSettings) -> f64 {
        match self.stage {
            Stage::Canary(step) => settings.canary.get(step).copied().unwrap_or(1.0),
            Stage::Plan => 1.0,
            Stage::RolledBack | Stage::Latched => 0.0,
        }
    }

    /// A request of the plan's was scored: its mean divergence, in nats a token.
    pub fn scored(&mut self, stratum: &str, divergence: f64, settings: &JudgeSettings, now: u64) {
        let known = self.strata.contains_key(stratum) || self.strata.len() < MAX_STRATA;
        let name = if known { stratum } else { "other" };
        let limit = if self.strict { settings.limit / 2.0 } else { settings.limit };
        let seen = self.strata.entry(name.to_owned()).or_default();
        seen.requests += 1;
        seen.sum += divergence;
        seen.detector.observe(divergence / limit);
        seen.bound.observe((divergence / (CLIP * limit)).min(1.0), ALPHA);
        if self.weight(settings) == 0.0 {
            return;
        }
        let alarmed = |strata: &BTreeMap<String, Stratum>| {
            let alarm = (ALARM * strata.len() as f64).ln();
            strata.iter().find(|(_, seen)| seen.log_evidence() >= alarm).map(|(name, _)| name.clone())
        };
        match alarmed(&self.strata) {
            Some(name) => self.roll_back(Cause::Drift(name), now),
            None => self.go_on(settings),
        }
    }

    /// Takes the canary's next step where every stratum's divergence is known to keep the limit.
    fn go_on(&mut self, settings: &JudgeSettings) {
        let Stage::Canary(step) = self.stage else { return };
        let keeps = |seen: &Stratum| seen.requests >= LEAST_REQUESTS && seen.bound.bound(ALPHA) * CLIP <= 1.0;
        if self.strata.values().all(keeps) {
            self.stage = if step + 1 < settings.canary.len() { Stage::Canary(step + 1) } else { Stage::Plan };
            self.strata.values_mut().for_each(|seen| seen.bound = UpperBound::default());
            self.strata.values_mut().for_each(|seen| seen.requests = 0);
            self.strata.values_mut().for_each(|seen| seen.sum = 0.0);
            self.strict &= self.stage != Stage::Plan;
        }
    }

    /// Has the baseline answer. A second time, or without a canary to come back by, until an operator says otherwise.
    pub fn roll_back(&mut self, cause: Cause, now: u64) {
        if matches!(self.stage, Stage::RolledBack | Stage::Latched) {
            return;
        }
        self.rollbacks += 1;
        // Only drift may pass by itself: traffic changes, a broken computation does not.
        let latches = self.rollbacks > 1 || !matches!(cause, Cause::Drift(_));
        self.stage = if latches { Stage::Latched } else { Stage::RolledBack };
        self.rolled_back = Some((now, cause));
    }

    /// Time has passed: a plan that has rested tries again, at half the limit.
    pub fn tick(&mut self, settings: &JudgeSettings, now: u64) {
        let Some((then, _)) = self.rolled_back else { return };
        let rested = Duration::from_secs(now.saturating_sub(then)) >= settings.hold;
        if self.stage == Stage::RolledBack && rested && !settings.canary.is_empty() {
            self.begin_canary(true);
        }
    }

    /// An operator lets the plan try again, from the canary's first step, or at once where it has none.
    pub fn promote(&mut self, settings: &JudgeSettings) {
        self.rollbacks = 0;
        self.begin_canary(false);
        if settings.canary.is_empty() {
            self.stage = Stage::Plan;
        }
    }

    fn begin_canary(&mut self, strict: bool) {
        self.stage = Stage::Canary(0);
        self.strict = strict;
        self.strata.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::testing::Random;

    fn settings(canary: &[f64]) -> JudgeSettings {
        JudgeSettings {
            limit: JudgeSettings::limit_of_drift(0.005),
            canary: canary.to_vec(),
            hold: Duration::from_secs(3600),
        }
    }

    fn judge(settings: &JudgeSettings) -> JudgeState {
        JudgeState::new("p".into(), "b".into(), settings)
    }

    /// Scores requests of two strata with so many limits of divergence each, until the stage is none of `stages`.
    fn run(
        judge: &mut JudgeState,
        settings: &JudgeSettings,
        seed: u64,
        limits: [f64; 2],
        most: usize,
    ) -> usize {
        let mut random = Random::new(seed);
        let stage = judge.stage;
        for count in 1..=most {
            let which = usize::from(random.uniform() < 0.5);
            let divergence = settings.limit * random.log_normal(limits[which], 1.5);
            judge.scored(["prose", "code"][which], divergence, settings, count as u64);
            if judge.stage != stage {
                return count;
            }
        }
        most
    }

    #[test]
    fn a_worse_plan_is_rolled_back_within_200_requests_and_a_good_one_is_not() {
        let settings = settings(&[]);
        let rolled_back = (0..100).filter(|seed| {
            let mut judge = judge(&settings);
            run(&mut judge, &settings, *seed, [2.0; 2], 200);
            judge.stage == Stage::RolledBack
        });
        let rolled_back = rolled_back.count();
        let kept = (0..100).filter(|seed| {
            let mut judge = judge(&settings);
            run(&mut judge, &settings, *seed, [0.5, 0.9], 2000);
            judge.stage == Stage::Plan
        });
        let kept = kept.count();
        println!("rolled back: {rolled_back} of 100 at twice the limit; kept: {kept} of 100 within it");
        assert!(rolled_back >= 95 && kept == 100);
    }

    #[test]
    fn one_bad_stratum_is_enough() {
        let settings = settings(&[]);
        let mut judge = judge(&settings);
        let took = run(&mut judge, &settings, 3, [0.3, 4.0], 1000);
        assert_eq!(judge.rolled_back.as_ref().unwrap().1, Cause::Drift("code".into()));
        assert!(took < 200, "{took}");
    }

    #[test]
    fn a_canary_goes_on_step_by_step_by_what_it_has_shown() {
        let settings = settings(&[0.01, 0.25]);
        let mut judge = judge(&settings);
        assert_eq!(judge.weight(&settings), 0.01);
        let first = run(&mut judge, &settings, 5, [0.3; 2], 5000);
        assert_eq!((judge.stage, judge.weight(&settings)), (Stage::Canary(1), 0.25));
        assert!(first >= 2 * LEAST_REQUESTS as usize, "{first}");
        run(&mut judge, &settings, 6, [0.3; 2], 5000);
        assert_eq!((judge.stage, judge.weight(&settings)), (Stage::Plan, 1.0));
        // One that is right at its limit is neither let on nor rolled back.
        let mut doubtful = JudgeState::new("p".into(), "b".into(), &settings);
        run(&mut doubtful, &settings, 7, [0.98; 2], 3000);
        assert_eq!(doubtful.stage, Stage::Canary(0));
    }

    #[test]
    fn it_comes_back_after_a_rest_at_half_the_limit_and_not_twice() {
        let settings = settings(&[0.1]);
        let mut judge = judge(&settings);
        judge.roll_back(Cause::Drift("all".into()), 100);
        judge.roll_back(Cause::Golden, 101);
        assert_eq!((judge.stage, judge.rollbacks, judge.weight(&settings)), (Stage::RolledBack, 1, 0.0));
        judge.tick(&settings, 3000);
        assert_eq!(judge.stage, Stage::RolledBack);
        judge.tick(&settings, 3700);
        assert_eq!((judge.stage, judge.strict), (Stage::Canary(0), true));
        // What kept the limit does not keep half of it.
        run(&mut judge, &settings, 9, [0.95; 2], 5000);
        assert_eq!(judge.stage, Stage::Latched);
        judge.tick(&settings, 1_000_000);
        assert_eq!(judge.stage, Stage::Latched);
        judge.promote(&settings);
        assert_eq!((judge.stage, judge.strict), (Stage::Canary(0), false));
    }

    #[test]
    fn a_failed_probe_latches_at_once() {
        let settings = settings(&[0.1]);
        let mut judge = judge(&settings);
        judge.roll_back(Cause::Golden, 0);
        assert_eq!(judge.stage, Stage::Latched);
    }

    #[test]
    fn what_it_remembers_survives_being_written() {
        let settings = settings(&[0.1]);
        let mut judge = judge(&settings);
        run(&mut judge, &settings, 1, [0.5; 2], 30);
        let text = serde_json::to_string(&judge).unwrap();
        assert_eq!(serde_json::from_str::<JudgeState>(&text).unwrap(), judge);
    }
}
