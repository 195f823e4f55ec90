//! Answers on their way from the engine to the verifier.

use std::sync::{
    atomic::{AtomicU64, Ordering},
    mpsc::{Receiver, SyncSender, sync_channel},
};

use super::record::Answered;

/// Answers that wait to be computed again; what comes beyond is dropped, and counted.
const QUEUE: usize = 8;

/// Where finished answers go that are to be computed again.
pub struct AnsweredQueue {
    sender: SyncSender<Answered>,
    positions: usize,
    dropped: AtomicU64,
}

impl AnsweredQueue {
    /// Of answers whose sequences have at most so many positions.
    pub fn new(max_model_len: usize) -> (AnsweredQueue, Receiver<Answered>) {
        let (sender, waiting) = sync_channel(QUEUE);
        // A prompt has a position less than a sequence.
        let positions = max_model_len.saturating_sub(1);
        (AnsweredQueue { sender, positions, dropped: AtomicU64::new(0) }, waiting)
    }

    /// Positions of an answer that can be computed again.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// An answer has ended.
    pub fn push(&self, answered: Answered) {
        if self.sender.try_send(answered).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Answers that came too fast.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
