//! Whom a thread shares its work with.

use super::jobs::Jobs;
use std::{cell::RefCell, sync::Arc};

/// Work below this many multiply–adds, some ten microseconds, is not worth waking one of rayon's threads.
const WORTH_WAKING: usize = 1 << 18;

/// Work below this many is not worth telling threads of that are awake.
const WORTH_TELLING: usize = 1 << 16;

/// Whom a thread shares its work with.
#[derive(Clone)]
pub(super) enum Current {
    /// The threads of rayon's pool that it is of, or of rayon's global one.
    Rayon,
    /// The threads of a pool that waits for it.
    Pool(Arc<Jobs>),
    /// Nobody: what it does is part of a work that is shared.
    Alone,
}

thread_local! {
    static CURRENT: RefCell<Current> = const { RefCell::new(Current::Rayon) };
}

/// Whom this thread shares its work with.
pub(super) fn current() -> Current {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs `work` with `current` in place of what the thread had, which it gets back, after a panic too.
pub(super) fn with_current<R>(current: Current, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<Current>);
    impl Drop for Restore {
        fn drop(&mut self) {
            if let Some(before) = self.0.take() {
                CURRENT.replace(before);
            }
        }
    }
    let _restore = Restore(Some(CURRENT.replace(current)));
    work()
}

/// Whether so many multiply–adds are worth sharing here.
pub(crate) fn is_worth_sharing(work: usize) -> bool {
    CURRENT.with_borrow(|current| match current {
        Current::Rayon => work >= WORTH_WAKING,
        Current::Pool(pool) => work >= WORTH_TELLING && pool.threads > 1,
        Current::Alone => false,
    })
}

/// How many threads work is shared among here, this one counted.
pub(crate) fn threads() -> usize {
    CURRENT.with_borrow(|current| match current {
        Current::Rayon => rayon::current_num_threads(),
        Current::Pool(pool) => pool.threads,
        Current::Alone => 1,
    })
}
