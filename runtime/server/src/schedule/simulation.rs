//! The scheduler over a model of the cache: whatever arrives, ends and is given up, everyone is served, and no limit is
//! exceeded.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Counts pages; some jobs find a beginning that others left.
struct Model {
    total: usize,
    page_tokens: usize,
    held: BTreeMap<JobId, usize>,
    finds: BTreeMap<JobId, usize>,
}

impl Model {
    fn pages(&self, positions: usize) -> usize {
        positions.div_ceil(self.page_tokens)
    }

    fn used(&self) -> usize {
        self.held.values().map(|held| self.pages(*held)).sum()
    }
}

impl Cache for Model {
    fn free_pages(&self) -> usize {
        self.total - self.used()
    }

    fn cached(&self, id: JobId) -> (usize, usize) {
        let positions = self.finds.get(&id).copied().unwrap_or(0);
        (positions, positions / self.page_tokens)
    }

    fn admit(&mut self, id: JobId) -> usize {
        let held = self.cached(id).0;
        assert!(self.held.insert(id, held).is_none(), "{id} has a sequence already");
        held
    }

    fn release(&mut self, id: JobId) {
        self.held.remove(&id).expect("a sequence");
    }
}

#[derive(Clone, Debug)]
struct Arrival {
    prompt: usize,
    answer: usize,
    gap: usize,
    cached_pages: usize,
    cancelled_after: Option<usize>,
    follows: bool,
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let arrival = (
        1usize..40,
        1usize..30,
        0usize..4,
        0usize..4,
        prop::option::weighted(0.2, 0usize..60),
        any::<bool>(),
    );
    let arrival = arrival.prop_map(|(prompt, answer, gap, cached_pages, cancelled_after, follows)| Arrival {
        prompt,
        answer,
        gap,
        cached_pages,
        cancelled_after,
        follows,
    });
    prop::collection::vec(arrival, 1..40)
}

/// One run: who got how many tokens, in how many steps.
struct Run {
    limits: Limits,
    scheduler: Scheduler,
    model: Model,
    known: BTreeMap<JobId, usize>,
    tokens: BTreeMap<JobId, usize>,
    alive: BTreeSet<JobId>,
}

impl Run {
    /// Executes a step, and checks it against the limits.
    fn step(&mut self, arrivals: &[Arrival]) -> usize {
        let step = self.scheduler.next_step(&mut self.model);
        let total: usize = step.iter().map(|part| part.tokens).sum();
        assert!(total <= self.limits.max_tokens, "{total} tokens in a step");
        assert!(self.scheduler.running() <= self.limits.max_sequences);
        let single = |part: &Part| part.tokens == 1 && part.samples;
        let prefill: usize = step.iter().filter(|part| !single(part)).map(|part| part.tokens).sum();
        let decodes = step.first().is_some_and(|part| single(part) && self.tokens[&part.id] > 0);
        assert!(!decodes || prefill <= self.limits.prefill_tokens, "{prefill} beside those who decode");
        let mut seen = BTreeSet::new();
        for part in &step {
            assert!(seen.insert(part.id), "{} twice in a step", part.id);
            let held = self.model.held.get_mut(&part.id).expect("a sequence");
            assert_eq!((*held, part.tokens > 0), (part.from, true), "{}", part.id);
            *held += part.tokens;
            assert_eq!(part.samples, *held == self.known[&part.id], "{}", part.id);
        }
        assert!(self.model.used() <= self.model.total, "more pages than there are");
        for part in step.iter().filter(|part| part.samples) {
            let tokens = self.tokens.get_mut(&part.id).unwrap();
            *tokens += 1;
            if *tokens == arrivals[part.id.0 as usize].answer {
                self.alive.remove(&part.id);
                self.scheduler.remove(part.id, &mut self.model);
            } else {
                *self.known.get_mut(&part.id).unwrap() += 1;
                self.scheduler.token(part.id);
            }
        }
        total
    }
}

fn simulate(arrivals: &[Arrival], limits: Limits, pages: usize) -> (Run, u64) {
    let model = Model {
        total: pages,
        page_tokens: limits.page_tokens,
        held: BTreeMap::new(),
        finds: BTreeMap::new(),
    };
    let scheduler = Scheduler::new(limits);
    let (known, tokens, alive) = Default::default();
    let mut run = Run { limits, scheduler, model, known, tokens, alive };
    let mut cancellations: Vec<(u64, JobId)> = vec![];
    let mut steps = 0;
    let mut tick = |run: &mut Run, cancellations: &mut Vec<(u64, JobId)>| {
        for (at, id) in cancellations.iter() {
            if *at == steps && run.alive.remove(id) {
                run.scheduler.remove(*id, &mut run.model);
            }
        }
        let worked = run.step(arrivals);
        assert!(worked > 0 || run.alive.is_empty(), "nobody is served though {:?} wait", run.alive);
        steps += 1;
        assert!(steps < 100_000, "it never ends");
    };
    for (number, arrival) in arrivals.iter().enumerate() {
        let id = JobId(number as u64);
        let found = (arrival.cached_pages * limits.page_tokens).min(arrival.prompt - 1);
        run.model.finds.insert(id, found - found % limits.page_tokens);
        run.known.insert(id, arrival.prompt);
        run.tokens.insert(id, 0);
        run.alive.insert(id);
        let leader = (arrival.follows && number > 0).then(|| JobId(number as u64 - 1));
        run.scheduler.arrive(id, arrival.prompt, leader);
        cancellations.extend(arrival.cancelled_after.map(|after| (number as u64 + after as u64, id)));
        (0..arrival.gap).for_each(|_| tick(&mut run, &mut cancellations));
    }
    while !run.alive.is_empty() {
        tick(&mut run, &mut cancellations);
    }
    let preemptions = run.scheduler.preemptions();
    (run, preemptions)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Every job that nobody gives up gets all its tokens, and at the end no page is held.
    #[test]
    fn everyone_is_served_within_the_limits(
        arrivals in arrivals(),
        (max_sequences, max_tokens, prefill_tokens) in (1usize..9, 8usize..40, 1usize..40),
        (page_tokens, pages) in (1usize..6, 0usize..40),
    ) {
        let limits = Limits { max_sequences, max_tokens, prefill_tokens, page_tokens };
        // The longest sequence has 40 + 30 positions: it alone always fits.
        let pages = pages + 70usize.div_ceil(page_tokens);
        let (run, _) = simulate(&arrivals, limits, pages);
        for (number, arrival) in arrivals.iter().enumerate() {
            let tokens = run.tokens[&JobId(number as u64)];
            prop_assert!(tokens == arrival.answer || arrival.cancelled_after.is_some(), "job {} got {}", number, tokens);
        }
        prop_assert!(run.scheduler.is_idle());
        prop_assert_eq!(run.model.used(), 0);
    }
}

fn plain(prompt: usize, answer: usize) -> Arrival {
    Arrival { prompt, answer, gap: 0, cached_pages: 0, cancelled_after: None, follows: false }
}

#[test]
fn a_scarce_cache_preempts_and_everyone_still_gets_all() {
    let limits = Limits { max_sequences: 8, max_tokens: 32, prefill_tokens: 32, page_tokens: 4 };
    let arrivals = vec![plain(4, 28); 8];
    let (run, preemptions) = simulate(&arrivals, limits, 20);
    assert!(preemptions > 0, "20 pages hold no 8 sequences of 8 pages");
    assert!(run.tokens.values().all(|tokens| *tokens == 28));
}

/// Those who decode get a token in every step while a long prompt is computed beside them.
#[test]
fn a_long_prompt_does_not_stop_those_who_decode() {
    let limits = Limits { max_sequences: 4, max_tokens: 16, prefill_tokens: 8, page_tokens: 4 };
    let mut scheduler = Scheduler::new(limits);
    let (held, finds) = Default::default();
    let mut model = Model { total: 100, page_tokens: 4, held, finds };
    let run = |step: &[Part], scheduler: &mut Scheduler, model: &mut Model| {
        for part in step {
            *model.held.get_mut(&part.id).unwrap() += part.tokens;
            if part.samples {
                scheduler.token(part.id);
            }
        }
    };
    scheduler.arrive(JobId(0), 3, None);
    let first = scheduler.next_step(&mut model);
    run(&first, &mut scheduler, &mut model);
    scheduler.arrive(JobId(1), 100, None);
    for _ in 0..13 {
        let step = scheduler.next_step(&mut model);
        let tokens: Vec<(u64, usize)> = step.iter().map(|part| (part.id.0, part.tokens)).collect();
        assert!(tokens.contains(&(0, 1)), "{tokens:?}");
        assert!(tokens.iter().any(|(id, tokens)| *id == 1 && *tokens >= 4), "{tokens:?}");
        run(&step, &mut scheduler, &mut model);
    }
}

/// The choices of a request wait for the first of them to compute the prompt, and nobody else waits for that.
#[test]
fn followers_wait_for_their_leader_alone() {
    let limits = Limits { max_sequences: 4, max_tokens: 8, prefill_tokens: 8, page_tokens: 4 };
    let mut scheduler = Scheduler::new(limits);
    let (held, finds) = Default::default();
    let mut model = Model { total: 100, page_tokens: 4, held, finds };
    scheduler.arrive(JobId(0), 7, None);
    scheduler.arrive(JobId(1), 7, Some(JobId(0)));
    scheduler.arrive(JobId(2), 3, None);
    let ids = |step: Vec<Part>| step.iter().map(|part| part.id.0).collect::<Vec<_>>();
    assert_eq!(ids(scheduler.next_step(&mut model)), [0, 2]);
    model.held.extend([(JobId(0), 7), (JobId(2), 1)]);
    scheduler.token(JobId(0));
    assert_eq!(ids(scheduler.next_step(&mut model)), [0, 2, 1]);
}
