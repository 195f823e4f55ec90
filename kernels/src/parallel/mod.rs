//! Sharing a kernel's work out over threads: those of a [`Pool`] that was installed, or rayon's.

mod current;
mod jobs;
mod pool;
#[cfg(test)]
mod tests;

use rayon::prelude::*;
use std::{
    marker::PhantomData,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

pub(crate) use current::{is_worth_sharing, threads};
pub use pool::Pool;

use current::{Current, current, with_current};
use jobs::Apart;

/// What a cheap operation on one element counts for: memory moves slower than a multiply–add.
pub(crate) const ELEMENT_WORK: usize = 8;

/// Times that each thread comes for tasks, or less often where these are fewer.
const CLAIMS: usize = 32;

/// Calls `task` for `0..tasks` over the current threads, or here where `work` (multiply–adds of all tasks together) is
/// small. Each thread makes itself a `scratch` to work in.
pub(crate) fn for_each_with<S>(
    tasks: usize,
    work: usize,
    scratch: impl Fn() -> S + Sync + Send,
    task: impl Fn(&mut S, usize) + Sync + Send,
) {
    let alone = || {
        let mut scratch = scratch();
        (0..tasks).for_each(|index| task(&mut scratch, index));
    };
    if tasks < 2 || !is_worth_sharing(work) {
        return alone();
    }
    match current() {
        Current::Alone => alone(),
        Current::Rayon => (0..tasks).into_par_iter().for_each_init(scratch, task),
        Current::Pool(pool) => {
            let next = Apart(AtomicUsize::new(0));
            let claim = tasks.div_ceil(CLAIMS * pool.threads);
            let job = || {
                let claims = std::iter::from_fn(|| Some(next.0.fetch_add(claim, Relaxed)));
                let mut claims = claims.take_while(|&first| first < tasks).peekable();
                if claims.peek().is_some() {
                    let mut scratch = scratch();
                    for first in claims {
                        (first..tasks.min(first + claim)).for_each(|index| task(&mut scratch, index));
                    }
                }
            };
            // SAFETY: a pool is installed on one thread at a time, which works alone during the call.
            with_current(Current::Alone, || unsafe { pool.run(&job) });
        }
    }
}

/// Calls `task` with every item and its index, shared out likewise.
pub(crate) fn for_each_of<T: Send>(items: &mut [T], work: usize, task: impl Fn(usize, &mut T) + Sync + Send) {
    let shared = Items(items.as_mut_ptr());
    for_each_with(
        items.len(),
        work,
        || (),
        |(), index| {
            // SAFETY: each index below the length is given to one thread, once.
            task(index, unsafe { shared.item(index) });
        },
    );
}

/// Calls `task` with the index of every `width`-wide row of `out` and the row, shared out likewise: a cheap operation on
/// every element.
pub(crate) fn for_each_row(out: &mut [f32], width: usize, task: impl Fn(usize, &mut [f32]) + Sync + Send) {
    let work = out.len() * ELEMENT_WORK;
    let rows = out.chunks_exact_mut(width);
    if is_worth_sharing(work) {
        for_each_of(&mut rows.collect::<Vec<_>>(), work, |row, out| task(row, out));
    } else {
        rows.enumerate().for_each(|(row, out)| task(row, out));
    }
}

/// [`for_each_row`] over the rows of two results of the same shape.
pub(crate) fn for_each_row_pair(
    (a, b): (&mut [f32], &mut [f32]),
    width: usize,
    task: impl Fn(usize, &mut [f32], &mut [f32]) + Sync + Send,
) {
    let work = a.len() * ELEMENT_WORK;
    let rows = a.chunks_exact_mut(width).zip(b.chunks_exact_mut(width));
    if is_worth_sharing(work) {
        for_each_of(&mut rows.collect::<Vec<_>>(), work, |row, (a, b)| task(row, a, b));
    } else {
        rows.enumerate().for_each(|(row, (a, b))| task(row, a, b));
    }
}

/// Items that several threads work on, each item one of them.
struct Items<T>(*mut T);

// SAFETY: the only access is `item`, whose caller promises that no two threads take the same.
unsafe impl<T: Send> Sync for Items<T> {}
// SAFETY: as for a slice of them.
unsafe impl<T: Send> Send for Items<T> {}

impl<T> Items<T> {
    /// # Safety
    /// The item is there, and is taken once.
    #[expect(clippy::mut_from_ref, reason = "each item is taken once")]
    unsafe fn item(&self, index: usize) -> &mut T {
        // SAFETY: the caller promises it.
        unsafe { &mut *self.0.add(index) }
    }
}

/// A result whose elements are written by several threads, each element by one of them.
pub(crate) struct Scatter<'a> {
    start: *mut f32,
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: the only access is `write`, whose caller promises that no two threads write the same element.
unsafe impl Sync for Scatter<'_> {}

impl<'a> Scatter<'a> {
    pub(crate) fn new(out: &'a mut [f32]) -> Scatter<'a> {
        Scatter { start: out.as_mut_ptr(), len: out.len(), borrowed: PhantomData }
    }

    /// Writes `values` from element `at` on.
    ///
    /// # Safety
    /// No other thread writes these elements during the life of `self`.
    #[inline(always)]
    pub(crate) unsafe fn write(&self, at: usize, values: &[f32]) {
        assert!(at <= self.len && values.len() <= self.len - at, "the elements lie outside of the result");
        // SAFETY: the range lies within the borrowed slice, and the caller promises that it is written only here.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.start.add(at), values.len()) }
    }
}
