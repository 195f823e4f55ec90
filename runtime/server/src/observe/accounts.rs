//! The accounts of requests: each that came is waiting, running, or has one outcome.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::exposition::Exposition;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By itself.
    Stop,
    /// With as many tokens as asked for, or as the context holds.
    Length,
    /// The client went away.
    Cancelled,
    /// The request made no sense.
    Invalid,
    /// There was no room for it in the queue, or the server was ending.
    Refused,
    /// The server failed.
    Failed,
}

impl Outcome {
    const ALL: [Outcome; 6] = [
        Outcome::Stop,
        Outcome::Length,
        Outcome::Cancelled,
        Outcome::Invalid,
        Outcome::Refused,
        Outcome::Failed,
    ];

    /// As metrics and logs have it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Stop => "stop",
            Outcome::Length => "length",
            Outcome::Cancelled => "cancelled",
            Outcome::Invalid => "invalid",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// How much may wait for the engine.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Requests.
    pub requests: usize,
    /// Tokens of their prompts; one request may always wait.
    pub tokens: usize,
}

/// The queue has no room for a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueueFull {
    /// Requests that wait.
    pub requests: usize,
    /// Tokens of their prompts.
    pub tokens: usize,
    /// When room is likely, by how fast the queue has been served of late.
    pub retry_after: Duration,
}

/// Starts that the speed of the queue is measured over.
const STARTS: usize = 32;

pub(super) struct Accounts {
    limits: QueueLimits,
    pub(super) received: u64,
    pub(super) waiting: u64,
    pub(super) running: u64,
    pub(super) outcomes: [u64; Outcome::ALL.len()],
    queued: usize,
    queued_tokens: usize,
    starts: VecDeque<Instant>,
}

impl Accounts {
    pub fn new(limits: QueueLimits) -> Accounts {
        let starts = VecDeque::with_capacity(STARTS);
        Accounts {
            limits,
            received: 0,
            waiting: 0,
            running: 0,
            outcomes: Default::default(),
            queued: 0,
            queued_tokens: 0,
            starts,
        }
    }

    pub fn unfinished(&self) -> u64 {
        self.waiting + self.running
    }

    pub(super) fn enqueue(&mut self, tokens: usize, now: Instant) -> Result<(), QueueFull> {
        let (requests, waiting) = (self.queued, self.queued_tokens);
        let full = requests >= self.limits.requests || waiting + tokens > self.limits.tokens;
        if full && requests > 0 {
            return Err(QueueFull { requests, tokens: waiting, retry_after: self.retry_after(now) });
        }
        self.queued += 1;
        self.queued_tokens += tokens;
        Ok(())
    }

    /// The time that the whole queue takes at the speed of the last starts; between a second and a minute.
    fn retry_after(&self, now: Instant) -> Duration {
        let each = self.starts.front().map(|first| (now - *first) / self.starts.len() as u32);
        let wait = each.unwrap_or(Duration::from_secs(1)) * self.queued as u32;
        wait.clamp(Duration::from_secs(1), Duration::from_secs(60))
    }

    pub(super) fn leave_queue(&mut self, tokens: usize) {
        self.queued -= 1;
        self.queued_tokens -= tokens;
    }

    pub(super) fn start(&mut self, now: Instant) {
        self.waiting -= 1;
        self.running += 1;
        if self.starts.len() == STARTS {
            self.starts.pop_front();
        }
        self.starts.push_back(now);
    }

    pub fn write(&self, to: &mut Exposition) {
        to.counter("samp_requests_received_total", "Requests for text that came.", &[], self.received);
        to.gauge("samp_requests_waiting", "Requests that no sequence has been begun for.", &[], self.waiting);
        to.gauge("samp_requests_running", "Requests that are being answered.", &[], self.running);
        let help = "Requests that have ended; with those that wait and run, as many as were received.";
        for outcome in Outcome::ALL {
            let labels = [("outcome", outcome.name().to_owned())];
            to.counter("samp_requests_total", help, &labels, self.outcomes[outcome as usize]);
        }
        to.gauge("samp_queued_prompt_tokens", "Tokens of the prompts that wait.", &[], self.queued_tokens);
    }
}

/// What is known of a request at its end, for the log.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Tokens of the prompts.
    pub prompt_tokens: usize,
    /// Tokens of the answers.
    pub completion_tokens: usize,
    /// Positions of the prompts that were computed before.
    pub cached_tokens: usize,
    /// Until it was admitted.
    pub queue: Option<Duration>,
    /// Until its first token.
    pub to_first_token: Option<Duration>,
    /// The status of the response.
    pub status: u16,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::observe::{Observed, PlanLabels, Ticket};

    fn observed(requests: usize, tokens: usize) -> Arc<Observed> {
        let plan = PlanLabels { model: "m".into(), digest: "d".into(), quantization_level: "nf4".into() };
        Observed::new(plan, QueueLimits { requests, tokens })
    }

    /// Received, and the sum of all that a request can be.
    fn sums(observed: &Observed) -> (u64, u64) {
        let accounts = observed.accounts();
        (accounts.received, accounts.waiting + accounts.running + accounts.outcomes.iter().sum::<u64>())
    }

    #[test]
    fn accounts_add_up_wherever_a_request_ends() {
        let observed = observed(10, 1000);
        for steps in 0..4 {
            for outcome in [None, Some(Outcome::Stop), Some(Outcome::Failed)] {
                let ticket = Ticket::new(&observed, "r".into());
                assert_eq!(sums(&observed).0, sums(&observed).1);
                if steps > 0 {
                    ticket.enqueue(7).unwrap();
                }
                (1..steps).for_each(|_| ticket.started());
                assert_eq!(sums(&observed).0, sums(&observed).1);
                outcome.into_iter().for_each(|outcome| ticket.end(outcome));
                ticket.end(Outcome::Length);
                drop(ticket);
                assert_eq!(sums(&observed).0, sums(&observed).1);
            }
        }
        let accounts = observed.accounts();
        assert_eq!(
            (accounts.queued, accounts.queued_tokens, accounts.running, accounts.waiting),
            (0, 0, 0, 0)
        );
        assert_eq!(accounts.outcomes, [4, 4, 0, 0, 0, 4]);
    }

    #[test]
    fn the_queue_is_bounded_by_requests_and_by_tokens() {
        let observed = observed(2, 100);
        let tickets: Vec<Ticket> = (0..4).map(|_| Ticket::new(&observed, "r".into())).collect();
        tickets[0].enqueue(500).expect("one may always wait");
        let full = tickets[1].enqueue(1).unwrap_err();
        assert_eq!((full.requests, full.tokens), (1, 500));
        assert!(full.retry_after >= Duration::from_secs(1) && full.retry_after <= Duration::from_secs(60));
        tickets[0].started();
        tickets[1].enqueue(60).unwrap();
        tickets[2].enqueue(40).unwrap();
        assert_eq!(tickets[3].enqueue(0).unwrap_err().requests, 2);
    }
}
