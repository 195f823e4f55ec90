//! What threads wait for, one job after another: awake while it goes on, asleep when it is over.
//!
//! A step of a model is some hundred operations of tens of microseconds each. To wake a thread for each would take as long
//! as many of them do, so that threads first look for the next job for a while before they sleep.
//!
//! Jobs go one at a time, from the one thread that installed the pool. That thread takes part in each and never waits for
//! another to begin: one that comes late finds the job's gate closed and misses it. What is waited for is those that are
//! inside.

use std::{
    any::Any,
    cell::UnsafeCell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        },
    },
    thread,
    time::{Duration, Instant},
};

/// How long a thread looks for what it waits for before it sleeps: longer than what one thread does alone between two
/// operations, and than most samplers take between two steps.
const LOOKING: Duration = Duration::from_micros(200);

/// How long it does so without letting other threads of the machine go first.
const LOOKING_ALONE: Duration = Duration::from_micros(10);

/// The gate's bit that lets threads in; below [`AWAITED`], it counts those inside.
const OPEN: usize = 1 << (usize::BITS - 1);
/// The gate's bit that has the last thread to leave wake the caller.
const AWAITED: usize = OPEN >> 1;

/// What each thread does of a job: tasks, until none is left. To do it twice is to find none.
type Job = dyn Fn() + Sync;

/// A value that shares its cache lines with no other.
#[repr(align(128))]
pub(super) struct Apart<T>(pub(super) T);

/// The jobs of a pool, and the threads that wait for them.
pub(super) struct Jobs {
    pub(super) threads: usize,
    process: u32,
    /// Counts the jobs, so that threads see that there is a new one.
    jobs: Apart<AtomicUsize>,
    gate: Apart<AtomicUsize>,
    /// Set while the gate is closed and nobody is inside.
    job: UnsafeCell<*const Job>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    ended: AtomicBool,
    /// Threads that sleep until there is a job, counted under `sleep`.
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    called: Condvar,
    left: Condvar,
}

// SAFETY: `job` alone is not Sync. It is written by the one caller while nobody is inside, and read by those inside; the
// gate's orderings put the one before the other.
unsafe impl Sync for Jobs {}
// SAFETY: the pointer in `job` is followed only during the call that set it.
unsafe impl Send for Jobs {}

impl Jobs {
    /// None yet, for so many threads.
    pub(super) fn new(threads: usize) -> Jobs {
        let nothing: *const Job = &|| ();
        Jobs {
            threads,
            process: process::id(),
            jobs: Apart(AtomicUsize::new(0)),
            gate: Apart(AtomicUsize::new(0)),
            job: UnsafeCell::new(nothing),
            panic: Mutex::new(None),
            ended: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            called: Condvar::new(),
            left: Condvar::new(),
        }
    }

    /// Does `job` on this thread and on all others that come while it goes on. A panic of any of them is this call's, once
    /// all have left.
    ///
    /// # Safety
    /// No other call of this pool's is going on.
    pub(super) unsafe fn run(&self, job: &(dyn Fn() + Sync)) {
        // SAFETY: the types differ in the lifetime alone, and this call outlasts all that follow the pointer.
        let lasting = unsafe { std::mem::transmute::<*const (dyn Fn() + Sync), *const Job>(job) };
        // SAFETY: the gate is closed and nobody is inside, since the caller promises that no other call is going on.
        unsafe { *self.job.get() = lasting };
        self.gate.0.store(OPEN, Release);
        self.call();
        let own = catch_unwind(AssertUnwindSafe(job));
        self.close();
        let others = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = own.err().or(others) {
            resume_unwind(panic);
        }
    }

    /// Has all threads see that there is something new.
    fn call(&self) {
        // In one order with the count of sleepers: a thread sees the new job, or this call that it sleeps.
        self.jobs.0.fetch_add(1, SeqCst);
        // A child of the process has none of them, and may have their lock as one of them held it.
        if self.sleepers.load(SeqCst) > 0 && self.process == process::id() {
            drop(self.lock());
            self.called.notify_all();
        }
    }

    /// Has all threads leave for good.
    pub(super) fn end(&self) {
        self.ended.store(true, Release);
        self.call();
    }

    /// What a thread of the pool does all its life.
    pub(super) fn work(&self) {
        let mut seen = 0;
        loop {
            seen = self.next_job(seen);
            if self.ended.load(Acquire) {
                return;
            }
            if !self.enter() {
                continue;
            }
            // SAFETY: this thread is inside, so that the job is set and its caller waits.
            let job = unsafe { &**self.job.get() };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            self.leave();
        }
    }

    /// Waits for another count of jobs than `seen`.
    fn next_job(&self, seen: usize) -> usize {
        let found = || Some(self.jobs.0.load(Acquire)).filter(|&jobs| jobs != seen);
        if let Some(jobs) = look(found) {
            return jobs;
        }
        let mut sleep = self.lock();
        self.sleepers.fetch_add(1, SeqCst);
        let jobs = loop {
            match self.jobs.0.load(SeqCst) {
                jobs if jobs != seen => break jobs,
                _ => sleep = self.called.wait(sleep).unwrap_or_else(PoisonError::into_inner),
            }
        };
        self.sleepers.fetch_sub(1, Relaxed);
        jobs
    }

    /// Goes in, unless the gate is closed.
    fn enter(&self) -> bool {
        let one_more = |gate| (gate & OPEN != 0).then_some(gate + 1);
        self.gate.0.fetch_update(Acquire, Relaxed, one_more).is_ok()
    }

    fn leave(&self) {
        if self.gate.0.fetch_sub(1, AcqRel) == AWAITED + 1 {
            drop(self.lock());
            self.left.notify_one();
        }
    }

    /// Closes the gate and waits until nobody is inside.
    fn close(&self) {
        let mut inside = self.gate.0.fetch_and(!OPEN, AcqRel) & !OPEN;
        if inside > 0 {
            inside = look(|| Some(self.gate.0.load(Acquire)).filter(|&inside| inside == 0)).unwrap_or(1);
        }
        if inside > 0 {
            let mut sleep = self.lock();
            self.gate.0.fetch_or(AWAITED, AcqRel);
            while self.gate.0.load(Acquire) != AWAITED {
                sleep = self.left.wait(sleep).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.sleep.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks again and again for what `found` finds, for as long as that is worth it.
fn look<T>(found: impl Fn() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        for _ in 0..16 {
            if let Some(found) = found() {
                return Some(found);
            }
            std::hint::spin_loop();
        }
        match started.elapsed() {
            time if time > LOOKING => return None,
            time if time > LOOKING_ALONE => thread::yield_now(),
            _ => {}
        }
    }
}
