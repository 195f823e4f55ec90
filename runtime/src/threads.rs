//! How many threads the CPU's kernels share work among, and how these are started.

use std::{
    error::Error,
    io,
    num::NonZeroUsize,
    thread::{self, Builder},
};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use samp_kernels::parallel::Pool;

use crate::{
    affinity::{AffinityError, bind_thread},
    error_code,
};

/// The most threads that work is shared among: more than one machine has cores, and as many as it can start.
pub const MAX_THREADS: usize = 1024;

/// Why work is not shared among threads.
#[derive(Debug, thiserror::Error)]
pub enum ThreadsError {
    /// None, or more than any machine has use for.
    #[error("expected 1 to {MAX_THREADS} threads, found {0}")]
    Count(usize),
    /// The process shares its work already.
    #[error(
        "the threads of this process were started before; set their number once, before the first plan is opened"
    )]
    Started,
    /// The system refused.
    #[error(
        "a thread cannot be started: {0}; allow more processes and memory (ulimit -u, ulimit -v), or ask for fewer threads"
    )]
    Refused(#[from] io::Error),
    /// They are not bound to the CPUs that were asked for.
    #[error(transparent)]
    Affinity(#[from] AffinityError),
}

impl ThreadsError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        match self {
            ThreadsError::Count(_) => error_code::THREAD_COUNT,
            ThreadsError::Started | ThreadsError::Refused(_) => error_code::THREADS,
            ThreadsError::Affinity(refusal) => refusal.code(),
        }
    }
}

impl From<ThreadPoolBuildError> for ThreadsError {
    fn from(error: ThreadPoolBuildError) -> ThreadsError {
        match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(refusal) => ThreadsError::Refused(io::Error::new(refusal.kind(), refusal.to_string())),
            None => ThreadsError::Started,
        }
    }
}

/// Refuses a number of threads that work cannot be shared among.
pub fn check_threads(count: usize) -> Result<NonZeroUsize, ThreadsError> {
    NonZeroUsize::new(count).filter(|count| count.get() <= MAX_THREADS).ok_or(ThreadsError::Count(count))
}

/// Has the whole process share its work on the CPU among so many threads: kernels, hashing, packing. `None` is as many as the
/// machine has cores for this process, or as `RAYON_NUM_THREADS` says. To be called once, before any work; what is not set
/// is as for `None`, and panics where the system refuses a thread. Results do not depend on it.
pub fn set_threads(count: Option<usize>) -> Result<(), ThreadsError> {
    Ok(ThreadPoolBuilder::new().num_threads(number(count)?).build_global()?)
}

/// So many threads of one's own to share work among; `None` is as for [`set_threads`].
pub fn thread_pool(count: Option<usize>) -> Result<ThreadPool, ThreadsError> {
    let pool = ThreadPoolBuilder::new().num_threads(number(count)?);
    Ok(pool.thread_name(|index| format!("samp-{index}")).build()?)
}

/// Threads that wait for one engine's work, as many as the rayon pool has that calls.
pub(crate) fn compute_pool() -> Result<Pool, ThreadsError> {
    let threads = NonZeroUsize::new(rayon::current_num_threads()).unwrap_or(NonZeroUsize::MIN);
    Ok(Pool::new(threads, bind_thread)?)
}

fn number(count: Option<usize>) -> Result<usize, ThreadsError> {
    let said = || std::env::var("RAYON_NUM_THREADS").ok()?.parse().ok().filter(|&count: &usize| count > 0);
    match count.or_else(said) {
        Some(count) => check_threads(count).map(NonZeroUsize::get),
        None => Ok(thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)),
    }
}

/// Runs `work` on a thread of no pool. A pool's thread takes up other work while it waits for another pool: that work may
/// want what this thread holds.
pub(crate) fn outside_of_pools<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, ThreadsError> {
    if rayon::current_thread_index().is_none() {
        return Ok(work());
    }
    thread::scope(|scope| {
        let done = Builder::new().spawn_scoped(scope, work)?.join();
        Ok(done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_threads_is_from_one_to_a_bound() {
        for (count, holds) in [(0, false), (1, true), (MAX_THREADS, true), (MAX_THREADS + 1, false)] {
            let said = check_threads(count);
            assert_eq!(said.is_ok(), holds, "{count}");
            assert_eq!(said.err().map(|error| error.code()), (!holds).then_some(error_code::THREAD_COUNT));
        }
        let refused = thread_pool(Some(10_000)).unwrap_err();
        assert_eq!(refused.to_string(), "expected 1 to 1024 threads, found 10000");
        assert_eq!(thread_pool(Some(3)).unwrap().current_num_threads(), 3);
    }

    #[test]
    fn work_leaves_the_pool_it_was_asked_from() {
        let pool = thread_pool(Some(2)).unwrap();
        let inside = || outside_of_pools(rayon::current_thread_index).unwrap();
        assert_eq!((pool.install(inside), inside()), (None, None));
    }
}
