//! Sharing a kernel's work out over threads.

use rayon::prelude::*;
use std::marker::PhantomData;

/// Work below this many multiply–adds, some ten microseconds, is not worth waking another thread.
const WORTH_SHARING: usize = 1 << 18;

/// What a cheap operation on one element counts for: memory moves slower than a multiply–add.
const ELEMENT_WORK: usize = 8;

/// Whether so many multiply–adds are worth waking another thread.
pub(crate) fn is_worth_sharing(work: usize) -> bool {
    work >= WORTH_SHARING
}

/// Calls `task` for `0..tasks` over the threads of the current pool, or here where `work` (multiply–adds of all tasks
/// together) is small. Each thread makes itself a `scratch` to work in.
pub(crate) fn for_each_with<S>(
    tasks: usize,
    work: usize,
    scratch: impl Fn() -> S + Sync + Send,
    task: impl Fn(&mut S, usize) + Sync + Send,
) {
    if !is_worth_sharing(work) {
        let mut scratch = scratch();
        (0..tasks).for_each(|index| task(&mut scratch, index));
    } else {
        (0..tasks).into_par_iter().for_each_init(scratch, task);
    }
}

/// Calls `task` with the index of every `width`-wide row of `out` and the row, shared out likewise.
pub(crate) fn for_each_row_with<S>(
    out: &mut [f32],
    width: usize,
    work: usize,
    scratch: impl Fn() -> S + Sync + Send,
    task: impl Fn(&mut S, usize, &mut [f32]) + Sync + Send,
) {
    if !is_worth_sharing(work) {
        let mut scratch = scratch();
        out.chunks_exact_mut(width).enumerate().for_each(|(row, out)| task(&mut scratch, row, out));
    } else {
        let rows = out.par_chunks_exact_mut(width).enumerate();
        rows.for_each_init(scratch, |scratch, (row, out)| task(scratch, row, out));
    }
}

/// [`for_each_row_with`] for cheap operations on every element.
pub(crate) fn for_each_row(out: &mut [f32], width: usize, task: impl Fn(usize, &mut [f32]) + Sync + Send) {
    let work = out.len() * ELEMENT_WORK;
    for_each_row_with(out, width, work, || (), |(), row, out| task(row, out));
}

/// [`for_each_row`] over the rows of two results of the same shape.
pub(crate) fn for_each_row_pair(
    (a, b): (&mut [f32], &mut [f32]),
    width: usize,
    task: impl Fn(usize, &mut [f32], &mut [f32]) + Sync + Send,
) {
    if !is_worth_sharing(a.len() * ELEMENT_WORK) {
        let rows = a.chunks_exact_mut(width).zip(b.chunks_exact_mut(width));
        rows.enumerate().for_each(|(row, (a, b))| task(row, a, b));
    } else {
        let rows = a.par_chunks_exact_mut(width).zip(b.par_chunks_exact_mut(width));
        rows.enumerate().for_each(|(row, (a, b))| task(row, a, b));
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
