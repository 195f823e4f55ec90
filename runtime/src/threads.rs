//! How many threads the CPU's kernels share work among.

use std::num::NonZeroUsize;

/// Why the number of threads cannot be set.
#[derive(Debug, thiserror::Error)]
#[error("{threads} threads cannot be had: {reason}; set the number once, before the first plan is opened")]
pub struct ThreadsError {
    threads: NonZeroUsize,
    reason: String,
}

impl ThreadsError {
    /// Stable code for people.
    pub fn code(&self) -> &'static str {
        crate::error_code::THREADS
    }
}

/// Has the whole process share its work on the CPU among so many threads: kernels, hashing, packing. To be called before any
/// of them ran, once; otherwise there are as many as the machine has cores for this process, or as `RAYON_NUM_THREADS` says.
/// Results do not depend on it.
pub fn set_threads(threads: NonZeroUsize) -> Result<(), ThreadsError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get());
    pool.build_global().map_err(|error| ThreadsError { threads, reason: error.to_string() })
}
