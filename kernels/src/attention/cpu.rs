//! Paged attention on the CPU: one task for a few tokens of a sequence and a key/value head, online softmax over tiles of
//! positions that are read once for all of the task's queries.
//!
//! Tiles begin at multiples of [`TILE`] positions and are taken in ascending order, so that a query's result depends
//! on its own position and window alone: not on how its prompt was cut into steps, nor on the batch, the number of
//! threads or the vector width.

use crate::{
    args::{AttentionArgs, first_visible},
    kv_cache::{KvGeometry, SequenceSlice},
    parallel::{ELEMENT_WORK, Scatter, for_each_with},
    simd::{self, FP8_UNIT, Job, LANES, Lanes, Width},
};
use samp_abi::Format;
use std::ops::Range;

/// Positions whose keys and values are read at once.
const TILE: usize = 32;
/// Most tokens of a task.
const TOKENS: usize = 8;

/// Attention at the machine's width.
pub fn paged_attention(args: AttentionArgs<'_>) {
    paged_attention_at(Width::detect(), args);
}

/// Attention at a given vector width. Panics if the machine has not the width.
pub fn paged_attention_at(width: Width, args: AttentionArgs<'_>) {
    let tokens = args.check();
    let AttentionArgs { q, heads, window, sequences, kv, pool, out } = args;
    let (runs, queries, out) = (runs(sequences), heads / kv.kv_heads, &Scatter::new(out));
    let context = sequences.iter().map(|s| s.start + s.tokens).max().unwrap_or(0);
    // A key and a value are decoded for few queries, so that each product costs as much as a move.
    let work = tokens * heads * kv.head_dim * context * ELEMENT_WORK;
    let scratch = || Scratch::new(kv.head_dim, TOKENS * queries);
    for_each_with(runs.len() * kv.kv_heads, work, scratch, |scratch, task| {
        let (run, head) = (runs[task / kv.kv_heads], task % kv.kv_heads);
        let cache = Cache { kv: &kv, pool, pages: sequences[run.sequence].pages, head };
        simd::run(width, Group { run, queries, heads, q, window, cache, scratch, out });
    });
}

/// Tokens of a sequence that lie side by side in a step.
#[derive(Clone, Copy)]
struct Run {
    sequence: usize,
    /// Index of the first token in the step, and its position in the sequence.
    first: usize,
    position: usize,
    tokens: usize,
}

/// The tokens of every sequence, at most [`TOKENS`] together.
fn runs(sequences: &[SequenceSlice<'_>]) -> Vec<Run> {
    let (mut runs, mut first) = (vec![], 0);
    for (index, sequence) in sequences.iter().enumerate() {
        for done in (0..sequence.tokens).step_by(TOKENS) {
            let tokens = TOKENS.min(sequence.tokens - done);
            runs.push(Run { sequence: index, first, position: sequence.start + done, tokens });
            first += tokens;
        }
    }
    runs
}

/// The keys and values of one head of a sequence.
struct Cache<'a> {
    kv: &'a KvGeometry,
    pool: &'a [u8],
    pages: &'a [u32],
    head: usize,
}

/// What a thread works in. Rows are padded with zeros to whole vectors.
struct Scratch {
    /// Vectors of a padded row.
    vectors: usize,
    /// Queries of the group `[queries, vectors]`.
    queries: Vec<[f32; LANES]>,
    /// Keys of a tile `[vectors, TILE]`.
    keys: Vec<[f32; LANES]>,
    /// Its values `[TILE, vectors]`.
    values: Vec<[f32; LANES]>,
    /// Weighted sums so far `[queries, vectors]`.
    sums: Vec<[f32; LANES]>,
    /// Largest score so far and sum of weights relative to it, for each query.
    softmax: Vec<(f32, f32)>,
}

impl Scratch {
    fn new(head_dim: usize, queries: usize) -> Scratch {
        let vectors = head_dim.div_ceil(LANES);
        let rows = |n| vec![[0.0; LANES]; n * vectors];
        let softmax = vec![(f32::NEG_INFINITY, 0.0); queries];
        Scratch {
            vectors,
            queries: rows(queries),
            keys: rows(TILE),
            values: rows(TILE),
            sums: rows(queries),
            softmax,
        }
    }
}

/// The queries of a run that share a key/value head.
struct Group<'a> {
    run: Run,
    /// Queries of each token.
    queries: usize,
    /// Query heads of the model.
    heads: usize,
    q: &'a [f32],
    window: Option<usize>,
    cache: Cache<'a>,
    scratch: &'a mut Scratch,
    out: &'a Scatter<'a>,
}

impl Job for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Group { run, queries, heads, q, window, cache, scratch, out } = self;
        let head_dim = cache.kv.head_dim;
        // Where a query lies among those of all tokens and heads.
        let place = |query: usize| {
            let token = run.first + query / queries;
            (token * heads + cache.head * queries + query % queries) * head_dim
        };
        let visible = |token| first_visible(run.position + token, window)..run.position + token + 1;
        let all = run.tokens * queries;
        for (query, to) in scratch.queries.chunks_exact_mut(scratch.vectors).take(all).enumerate() {
            to.as_flattened_mut()[..head_dim].copy_from_slice(&q[place(query)..][..head_dim]);
        }
        scratch.sums.fill([0.0; LANES]);
        scratch.softmax.fill((f32::NEG_INFINITY, 0.0));
        let (start, end) = (visible(0).start, visible(run.tokens - 1).end);
        for tile in start / TILE..end.div_ceil(TILE) {
            let first = tile * TILE;
            let within = |seen: Range<usize>| seen.start.max(first)..seen.end.min(first + TILE);
            let positions = within(start..end);
            cache.read(l, positions.clone(), positions.start - first, scratch);
            for token in 0..run.tokens {
                let seen = within(visible(token));
                for query in if seen.is_empty() { 0..0 } else { token * queries..(token + 1) * queries } {
                    add_tile(l, scratch, query, head_dim, seen.start - first..seen.end - first);
                }
            }
        }
        for (query, sums) in scratch.sums.chunks_exact_mut(scratch.vectors).take(all).enumerate() {
            let (sums, weight) = (&mut sums.as_flattened_mut()[..head_dim], scratch.softmax[query].1);
            sums.iter_mut().for_each(|sum| *sum /= weight);
            // SAFETY: each token and head is given to one thread, which alone writes its part of the result.
            unsafe { out.write(place(query), sums) }
        }
    }
}

impl Cache<'_> {
    /// Reads the keys and values of `positions` into the slots of the scratch from `slot` on.
    #[inline(always)]
    fn read<L: Lanes>(&self, l: L, positions: Range<usize>, slot: usize, scratch: &mut Scratch) {
        let (kv, Scratch { vectors, keys, values, .. }) = (self.kv, scratch);
        for (slot, position) in (slot..).zip(positions) {
            let page = self.pages[position / kv.page_tokens];
            let code = |which| {
                let start = kv.offset(page, which, self.head, position % kv.page_tokens);
                &self.pool[start..][..kv.head_dim * kv.element_bytes()]
            };
            self.decode(l, code(0), kv.scales[0], keys[slot..].iter_mut().step_by(TILE));
            self.decode(l, code(1), kv.scales[1], values[slot * *vectors..][..*vectors].iter_mut());
        }
    }

    /// Decodes a row's codes vector by vector.
    #[inline(always)]
    fn decode<'t, L: Lanes>(
        &self,
        l: L,
        codes: &[u8],
        scale: f32,
        to: impl Iterator<Item = &'t mut [f32; LANES]>,
    ) {
        match self.kv.format {
            Format::F32 => by_vector(bytemuck::cast_slice(codes), to, |values, to| *to = *values),
            Format::F16 => {
                by_vector(bytemuck::cast_slice(codes), to, |codes, to| l.store(l.load_f16(codes), to));
            }
            _ => {
                let scale = l.splat(FP8_UNIT * scale);
                by_vector(codes, to, |codes, to| {
                    l.store(l.mul(l.load_fp8(codes), scale), to);
                    restore_nans(codes, to);
                });
            }
        }
    }
}

/// The vector decoder takes the two NaN codes for 480: what overflowed once must not pass for a number.
#[inline(always)]
fn restore_nans(codes: &[u8; LANES], decoded: &mut [f32; LANES]) {
    if codes.iter().fold(false, |found, code| found | (code & 0x7F == 0x7F)) {
        for (code, value) in codes.iter().zip(decoded) {
            if code & 0x7F == 0x7F {
                *value = f32::NAN;
            }
        }
    }
}

/// Loads a row vector by vector; code 0 is zero in every format, so the padding is zero.
#[inline(always)]
fn by_vector<'t, T: Copy + Default>(
    codes: &[T],
    mut to: impl Iterator<Item = &'t mut [f32; LANES]>,
    mut load: impl FnMut(&[T; LANES], &mut [f32; LANES]),
) {
    let (whole, rest) = codes.as_chunks();
    for (codes, to) in whole.iter().zip(&mut to) {
        load(codes, to);
    }
    if let (false, Some(to)) = (rest.is_empty(), to.next()) {
        let mut padded = [T::default(); LANES];
        padded[..rest.len()].copy_from_slice(rest);
        load(&padded, to);
    }
}

/// Adds the tile's rows `slots` to one query: `sum ← sum·e^(max − max') + Σ e^(score − max')·value` with the new
/// maximum max' (online softmax: Milakov and Gimelshein, arXiv 1805.02867).
#[inline(always)]
fn add_tile<L: Lanes>(l: L, scratch: &mut Scratch, query: usize, head_dim: usize, slots: Range<usize>) {
    let Scratch { vectors, queries, keys, values, sums, softmax } = scratch;
    let vectors = *vectors;
    let q = &queries[query * vectors..][..vectors];
    let scale = l.splat(1.0 / (head_dim as f32).sqrt());
    let mut weights = [[0.0; LANES]; TILE / LANES];
    let groups = slots.start / LANES..slots.end.div_ceil(LANES);
    for (group, weights) in groups.clone().zip(&mut weights[groups]) {
        let scores = dot_products(l, q, &keys.as_chunks().0[group..]);
        l.store(l.mul(scores, scale), weights);
    }
    let (old_max, old_sum) = softmax[query];
    let max = largest(l, &mut weights, old_max, &slots);
    let sum = exponentials(l, &mut weights, max, &slots);
    // Nothing was summed before the first tile.
    let mut kept = [0.0; LANES];
    if old_max > f32::NEG_INFINITY {
        l.store(simd::exp(l, l.splat(old_max - max)), &mut kept);
    }
    softmax[query] = (max, old_sum * kept[0] + sum);
    let weights = &weights.as_flattened()[slots.clone()];
    let values = &values[slots.start * vectors..];
    let sums = &mut sums[query * vectors..][..vectors];
    let mut at = 0;
    while at < vectors {
        let (sums, values) = (&mut sums[at..], values[at..].chunks(vectors));
        at += match sums.len() {
            4.. => add_values::<L, 4>(l, sums, &kept, weights, values),
            2.. => add_values::<L, 2>(l, sums, &kept, weights, values),
            _ => add_values::<L, 1>(l, sums, &kept, weights, values),
        }
    }
}

/// `q·k` for 16 keys, each summed in 16 lanes and these halves first; in every second of `keys` are 16 vectors of 16 keys.
#[inline(always)]
fn dot_products<L: Lanes>(l: L, q: &[[f32; LANES]], keys: &[[[f32; LANES]; LANES]]) -> L::F {
    let mut sums = [l.splat(0.0); LANES];
    for (q, keys) in q.iter().zip(keys.iter().step_by(TILE / LANES)) {
        let q = l.load(q);
        for (sum, key) in sums.iter_mut().zip(keys) {
            *sum = l.mul_add(q, l.load(key), *sum);
        }
    }
    l.sums(sums)
}

/// The largest of the scores in `slots` and of `before`. What lies outside of the slots is as small as can be then.
#[inline(always)]
fn largest<L: Lanes>(
    l: L,
    scores: &mut [[f32; LANES]; TILE / LANES],
    before: f32,
    slots: &Range<usize>,
) -> f32 {
    fill_around(scores, slots, f32::NEG_INFINITY);
    let largest = scores.iter().fold(l.splat(before), |largest, scores| l.max(largest, l.load(scores)));
    simd::largest(l, largest)
}

/// Turns scores into `e^(score − max)`, zero outside of `slots`, and returns their sum.
#[inline(always)]
fn exponentials<L: Lanes>(
    l: L,
    scores: &mut [[f32; LANES]; TILE / LANES],
    max: f32,
    slots: &Range<usize>,
) -> f32 {
    for scores in scores.iter_mut() {
        l.store(simd::exp(l, l.sub(l.load(scores), l.splat(max))), scores);
    }
    fill_around(scores, slots, 0.0);
    simd::sum(l, scores.iter().fold(l.splat(0.0), |total, scores| l.add(total, l.load(scores))))
}

/// Puts `value` outside of `slots`.
#[inline(always)]
fn fill_around(scores: &mut [[f32; LANES]; TILE / LANES], slots: &Range<usize>, value: f32) {
    let scores = scores.as_flattened_mut();
    scores[..slots.start].fill(value);
    scores[slots.end..].fill(value);
}

/// `sums ← sums·kept + Σ weight·value` for the first `N` vectors of each value, which add up side by side; gives `N`.
#[inline(always)]
fn add_values<'a, L: Lanes, const N: usize>(
    l: L,
    sums: &mut [[f32; LANES]],
    kept: &[f32; LANES],
    weights: &[f32],
    values: impl Iterator<Item = &'a [[f32; LANES]]>,
) -> usize {
    let mut totals = [l.splat(0.0); N];
    for (total, sum) in totals.iter_mut().zip(sums.iter()) {
        *total = l.mul(l.load(sum), l.load(kept));
    }
    for (weight, value) in weights.iter().zip(values) {
        for (total, value) in totals.iter_mut().zip(&value[..N]) {
            *total = l.mul_add(l.splat(*weight), l.load(value), *total);
        }
    }
    for (total, sum) in totals.into_iter().zip(sums) {
        l.store(total, sum);
    }
    N
}
