//! The moment in which an output takes its place: from its rename until what was kept to make it is gone. Whoever ends the
//! process waits for it, and so finds either an output with nothing unfinished beside it, or none.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct State {
    under_way: usize,
    ending: bool,
}

static STATE: Mutex<State> = Mutex::new(State { under_way: 0, ending: false });
static CHANGED: Condvar = Condvar::new();

/// An output that takes its place while this lives.
#[derive(Debug)]
pub(crate) struct Publication(());

impl Publication {
    /// Begins; where the process is about to end, that comes first.
    pub(crate) fn begin() -> Publication {
        let is_ending = |state: &mut State| state.ending;
        let mut state = CHANGED.wait_while(state(), is_ending).unwrap_or_else(PoisonError::into_inner);
        state.under_way += 1;
        Publication(())
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        state().under_way -= 1;
        CHANGED.notify_all();
    }
}

/// Waits until every output that is about to take its place has done so, and lets none begin to: for whoever ends the process
/// next.
pub fn stop_publishing() {
    let mut state = state();
    state.ending = true;
    let is_under_way = |state: &mut State| state.under_way > 0;
    drop(CHANGED.wait_while(state, is_under_way).unwrap_or_else(PoisonError::into_inner));
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
