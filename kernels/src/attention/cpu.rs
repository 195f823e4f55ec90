//! Paged attention on the CPU: one task for each token and key/value head, online softmax over tiles of positions.
//!
//! Tiles begin at multiples of [`TILE`] positions and are taken in ascending order, so that a query's result depends
//! on its own position and window alone: not on how its prompt was cut into steps, nor on the batch, the number of
//! threads or the vector width.

use super::{AttentionArgs, KvGeometry, check, first_visible};
use crate::{
    parallel::for_each_row_with,
    simd::{self, FP8_UNIT, Job, LANES, Lanes, Width},
};
use samp_abi::Format;
use std::ops::Range;

/// Positions whose keys and values are read at once.
const TILE: usize = 32;

/// Attention at the machine's width.
pub fn paged_attention(args: AttentionArgs<'_>) {
    paged_attention_at(Width::detect(), args);
}

/// Attention at a given vector width. Panics if the machine has not the width.
pub fn paged_attention_at(width: Width, args: AttentionArgs<'_>) {
    let tokens = check(&args);
    let AttentionArgs { q, heads, window, sequences, kv, pool, out } = args;
    let places: Vec<(usize, usize)> = sequences
        .iter()
        .enumerate()
        .flat_map(|(index, s)| (s.start..s.start + s.tokens).map(move |position| (index, position)))
        .collect();
    let row = heads / kv.kv_heads * kv.head_dim;
    let context = places.iter().map(|(_, position)| position + 1).max().unwrap_or(0);
    let scratch = || Scratch::new(kv.head_dim, heads / kv.kv_heads);
    for_each_row_with(out, row, tokens * heads * kv.head_dim * context, scratch, |scratch, task, out| {
        let (sequence, position) = places[task / kv.kv_heads];
        let visible = first_visible(position, window)..position + 1;
        let cache = Cache { kv: &kv, pool, pages: sequences[sequence].pages, head: task % kv.kv_heads };
        simd::run(width, Group { q: &q[task * row..][..row], cache, visible, scratch, out });
    });
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
    /// Keys, then values, of a tile `[TILE, vectors]`.
    rows: [Vec<[f32; LANES]>; 2],
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
            rows: [rows(TILE), rows(TILE)],
            sums: rows(queries),
            softmax,
        }
    }
}

/// The queries of one token that share a key/value head.
struct Group<'a> {
    q: &'a [f32],
    cache: Cache<'a>,
    visible: Range<usize>,
    scratch: &'a mut Scratch,
    out: &'a mut [f32],
}

impl Job for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Group { q, cache, visible, scratch, out } = self;
        let head_dim = cache.kv.head_dim;
        for (query, to) in q.chunks_exact(head_dim).zip(scratch.queries.chunks_exact_mut(scratch.vectors)) {
            to.as_flattened_mut()[..head_dim].copy_from_slice(query);
        }
        scratch.sums.fill([0.0; LANES]);
        scratch.softmax.fill((f32::NEG_INFINITY, 0.0));
        for tile in visible.start / TILE..visible.end.div_ceil(TILE) {
            let positions = visible.start.max(tile * TILE)..visible.end.min((tile + 1) * TILE);
            let slots = positions.start - tile * TILE..positions.end - tile * TILE;
            cache.read(l, positions, slots.start, scratch);
            for query in 0..scratch.softmax.len() {
                add_tile(l, scratch, query, head_dim, slots.clone());
            }
        }
        for (query, out) in out.chunks_exact_mut(head_dim).enumerate() {
            let weight = scratch.softmax[query].1;
            let sums = scratch.sums[query * scratch.vectors..][..scratch.vectors].as_flattened();
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum / weight;
            }
        }
    }
}

impl Cache<'_> {
    /// Reads the keys and values of `positions` into the rows of the scratch from `slot` on.
    #[inline(always)]
    fn read<L: Lanes>(&self, l: L, positions: Range<usize>, slot: usize, scratch: &mut Scratch) {
        let kv = self.kv;
        for (slot, position) in (slot..).zip(positions) {
            let page = self.pages[position / kv.page_tokens];
            for which in 0..2 {
                let start = kv.offset(page, which, self.head, position % kv.page_tokens);
                let bytes = &self.pool[start..][..kv.head_dim * kv.element_bytes()];
                let to = &mut scratch.rows[which][slot * scratch.vectors..][..scratch.vectors];
                match kv.format {
                    Format::F32 => decode(bytemuck::cast_slice(bytes), to, |values, to| *to = *values),
                    Format::F16 => {
                        decode(bytemuck::cast_slice(bytes), to, |codes, to| l.store(l.load_f16(codes), to));
                    }
                    _ => {
                        let scale = l.splat(FP8_UNIT * kv.scales[which]);
                        decode(bytes, to, |codes, to| l.store(l.mul(l.load_fp8(codes), scale), to));
                        restore_nans(bytes, to);
                    }
                }
            }
        }
    }
}

/// The vector decoder takes the two NaN codes for 480: what overflowed once must not pass for a number.
#[inline(always)]
fn restore_nans(codes: &[u8], decoded: &mut [[f32; LANES]]) {
    if codes.iter().fold(false, |found, code| found | (code & 0x7F == 0x7F)) {
        for (code, value) in codes.iter().zip(decoded.as_flattened_mut()) {
            if code & 0x7F == 0x7F {
                *value = f32::NAN;
            }
        }
    }
}

/// Decodes a row of codes vector by vector; code 0 is zero in every format, so the padding is zero.
#[inline(always)]
fn decode<T: Copy + Default>(
    codes: &[T],
    to: &mut [[f32; LANES]],
    mut load: impl FnMut(&[T; LANES], &mut [f32; LANES]),
) {
    let (whole, rest) = codes.as_chunks();
    for (codes, to) in whole.iter().zip(&mut *to) {
        load(codes, to);
    }
    if !rest.is_empty() {
        let mut padded = [T::default(); LANES];
        padded[..rest.len()].copy_from_slice(rest);
        load(&padded, &mut to[whole.len()]);
    }
}

/// Adds the tile's rows `slots` to one query: `sum ← sum·e^(max − max') + Σ e^(score − max')·value` with the new
/// maximum max' (online softmax: Milakov and Gimelshein, arXiv 1805.02867).
#[inline(always)]
fn add_tile<L: Lanes>(l: L, scratch: &mut Scratch, query: usize, head_dim: usize, slots: Range<usize>) {
    let vectors = scratch.vectors;
    let [keys, values] = &scratch.rows;
    let q = &scratch.queries[query * vectors..][..vectors];
    let scale = l.splat(1.0 / (head_dim as f32).sqrt());
    let mut weights = [[f32::NEG_INFINITY; LANES]; TILE / LANES];
    for group in slots.start / LANES..slots.end.div_ceil(LANES) {
        let scores = dot_products(l, q, &keys[group * LANES * vectors..][..LANES * vectors]);
        l.store(l.mul(scores, scale), &mut weights[group]);
    }
    let (old_max, old_sum) = scratch.softmax[query];
    let max = weights.as_flattened()[slots.clone()].iter().fold(old_max, |max, score| max.max(*score));
    let sum = exponentials(l, &mut weights, max, &slots);
    // Nothing was summed before the first tile.
    let mut kept = [0.0; LANES];
    if old_max > f32::NEG_INFINITY {
        l.store(simd::exp(l, l.splat(old_max - max)), &mut kept);
    }
    scratch.softmax[query] = (max, old_sum * kept[0] + sum);
    let weights = &weights.as_flattened()[slots.clone()];
    let values = &values[slots.start * vectors..];
    let (quads, rest) = scratch.sums[query * vectors..][..vectors].as_chunks_mut::<4>();
    let done = vectors - rest.len();
    for (quad, sums) in quads.iter_mut().enumerate() {
        add_values(l, sums, &kept, weights, values[quad * 4..].chunks(vectors));
    }
    for (v, sum) in rest.iter_mut().enumerate() {
        add_values(l, std::array::from_mut(sum), &kept, weights, values[done + v..].chunks(vectors));
    }
}

/// Indices of column `lane` in a matrix of 16 rows and 16 columns.
const COLUMNS: [[u8; LANES]; LANES] = {
    let mut columns = [[0; LANES]; LANES];
    let mut i = 0;
    while i < LANES * LANES {
        columns[i % LANES][i / LANES] = i as u8;
        i += 1;
    }
    columns
};

/// `q·k` for 16 keys. Each product is summed in 16 lanes and these halves first, for all keys at once.
#[inline(always)]
fn dot_products<L: Lanes>(l: L, q: &[[f32; LANES]], keys: &[[f32; LANES]]) -> L::F {
    let mut products = [0.0; LANES * LANES];
    for (key, products) in keys.chunks_exact(q.len()).zip(products.as_chunks_mut().0) {
        let mut dot = l.splat(0.0);
        for (q, k) in q.iter().zip(key) {
            dot = l.mul_add(l.load(q), l.load(k), dot);
        }
        l.store(dot, products);
    }
    let mut sums = [l.splat(0.0); LANES];
    for (sum, column) in sums.iter_mut().zip(&COLUMNS) {
        *sum = l.gather(&products, column);
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            sums[i] = l.add(sums[i], sums[i + half]);
        }
    }
    sums[0]
}

/// Turns scores into `e^(score − max)`, zero outside of `slots`, and returns their sum.
#[inline(always)]
fn exponentials<L: Lanes>(l: L, scores: &mut [[f32; LANES]], max: f32, slots: &Range<usize>) -> f32 {
    let mut total = l.splat(0.0);
    for (group, scores) in scores.iter_mut().enumerate() {
        l.store(simd::exp(l, l.sub(l.load(scores), l.splat(max))), scores);
        let first = group * LANES;
        if slots.start > first || slots.end < first + LANES {
            for (lane, weight) in scores.iter_mut().enumerate() {
                *weight = if slots.contains(&(first + lane)) { *weight } else { 0.0 };
            }
        }
        total = l.add(total, l.load(scores));
    }
    simd::sum(l, total)
}

/// `sums ← sums·kept + Σ weight·value` for `N` vectors of each value, which add up side by side.
#[inline(always)]
fn add_values<'a, L: Lanes, const N: usize>(
    l: L,
    sums: &mut [[f32; LANES]; N],
    kept: &[f32; LANES],
    weights: &[f32],
    values: impl Iterator<Item = &'a [[f32; LANES]]>,
) {
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
}
