//! When things happened to a sequence.

use std::time::{Duration, Instant};

/// When things happened to a job.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// It was queued.
    pub arrived: Instant,
    /// It was first given a sequence.
    pub admitted: Option<Instant>,
    /// Its first token came.
    pub first_token: Option<Instant>,
    /// Its last token came.
    pub last_token: Option<Instant>,
    /// Positions of the prompt that were there already.
    pub cached: usize,
}

impl Timing {
    /// It is queued now.
    pub fn now() -> Timing {
        let arrived = Instant::now();
        Timing { arrived, admitted: None, first_token: None, last_token: None, cached: 0 }
    }

    /// In the queue.
    pub fn queued(&self) -> Option<Duration> {
        Some(self.admitted? - self.arrived)
    }

    /// From arrival to the first token.
    pub fn to_first_token(&self) -> Option<Duration> {
        Some(self.first_token? - self.arrived)
    }

    /// From arrival to the last token.
    pub fn to_last_token(&self) -> Option<Duration> {
        Some(self.last_token? - self.arrived)
    }
}
