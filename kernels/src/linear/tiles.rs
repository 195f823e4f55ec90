//! Sharing a linear's tiles of 16 rows out over threads.

use super::epilogue::{Epilogue, Write};
use crate::{
    args::LinearArgs,
    parallel::{self, Scatter, for_each_with},
    simd::{self, LANES, Width},
};
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

/// Tiles of a panel, side by side so that each input that is read meets several vectors of weights.
pub(super) const PANEL_TILES: usize = 2;
/// Tiles of a task; they share a pass over the tokens' columns, which stay in the second-level cache.
pub(super) const MAX_TASK_TILES: usize = 8;

/// The sums of a token and a tile, in a cache line of their own.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

/// Calls `compute` for at most so many tokens at a time.
pub(super) fn for_each_tokens(args: LinearArgs<'_>, most: usize, mut compute: impl FnMut(LinearArgs<'_>)) {
    let LinearArgs { x, weight, bias, out } = args;
    let outs = out.chunks_mut(most * weight.rows.max(1));
    for (x, out) in x.chunks(most * weight.cols).zip(outs) {
        compute(LinearArgs { x, weight, bias, out });
    }
}

/// Calls `sum` for some tiles at a time, which fills their sums `[tiles, tokens]` (zero on entry, with whole panels of
/// tiles), and takes the last steps to the result. Each thread makes itself an `S` to work in.
pub(super) fn for_each_tiles<S: Default>(
    width: Width,
    args: LinearArgs<'_>,
    epilogue: Epilogue<'_>,
    sum: impl Fn(&mut S, Range<usize>, &mut [[f32; LANES]]) + Sync + Send,
) {
    let (epilogue, x, cols) = (&epilogue, args.x, args.weight.cols);
    let out = &Scatter::new(args.out);
    let all_tiles = args.weight.rows.div_ceil(LANES);
    // A few tasks for each thread; how tiles are shared out changes no result.
    let per_task = all_tiles.div_ceil(4 * parallel::threads()).next_multiple_of(PANEL_TILES);
    let per_task = per_task.min(MAX_TASK_TILES);
    for_each_with(
        all_tiles.div_ceil(per_task),
        all_tiles * LANES * x.len(),
        Default::default,
        |(totals, scratch): &mut (Vec<Line>, S), task| {
            let tiles = task * per_task..all_tiles.min((task + 1) * per_task);
            totals.clear();
            totals.resize(tiles.len().next_multiple_of(PANEL_TILES) * (x.len() / cols), Line::zeroed());
            let totals = bytemuck::cast_slice_mut(totals);
            sum(scratch, tiles.clone(), totals);
            simd::run(width, Write { epilogue, tiles, totals, x, cols, out });
        },
    );
}
