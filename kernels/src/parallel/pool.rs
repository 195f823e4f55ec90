//! Threads that wait for one computation's work.

use super::{
    current::{Current, with_current},
    jobs::Jobs,
};
use std::{io, num::NonZeroUsize, sync::Arc, thread};

/// Threads for one computation at a time. They end with the pool.
///
/// The threads of a process that forks are not in the child, where the calling thread computes alone.
pub struct Pool(Arc<Jobs>);

impl Pool {
    /// Shares work among `threads`, of which the calling thread is one: so many but one are started. Each first calls
    /// `start` with its number, from 1 on. Fails where the system refuses a thread.
    pub fn new(threads: NonZeroUsize, start: impl Fn(usize) + Send + Sync + 'static) -> io::Result<Pool> {
        let pool = Pool(Arc::new(Jobs::new(threads.get())));
        let start = Arc::new(start);
        for index in 1..threads.get() {
            let (jobs, start) = (pool.0.clone(), start.clone());
            let thread = thread::Builder::new().name(format!("samp-cpu-{index}"));
            thread.spawn(move || {
                start(index);
                with_current(Current::Alone, || jobs.work());
            })?;
        }
        Ok(pool)
    }

    /// Runs `work` here; the kernels that it calls share their work among the pool's threads.
    pub fn install<R>(&mut self, work: impl FnOnce() -> R) -> R {
        with_current(Current::Pool(self.0.clone()), work)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.end();
    }
}
