//! The gradient of causal attention, with the rotary embedding before it.

use std::ops::Range;

use rayon::prelude::*;

use super::RopeTable;
use crate::simd::{self, Job, LANES, Lanes, Width};

/// Heads, and how far a query sees.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// A query sees so many positions, its own among them; all where there is no window.
    pub window: Option<usize>,
}

impl AttentionShape {
    fn width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }
}

/// Adds the gradient by `qkv`, `[tokens, (heads + 2 · kv_heads) · head_dim]`, queries, keys and values before they are turned,
/// where `out` is that by what attention gives, `[tokens, heads · head_dim]`. The tokens are of sequences of these lengths,
/// each of which begins at position 0; `rope` knows all their positions. Panics if the shapes differ.
pub fn attention(
    shape: AttentionShape,
    rope: &RopeTable,
    lengths: &[usize],
    qkv: &[f32],
    out: &[f32],
    gradient: &mut [f32],
) {
    let (width, tokens) = (shape.width(), lengths.iter().sum::<usize>());
    assert!(qkv.len() == tokens * width && gradient.len() == qkv.len(), "qkv are of all tokens");
    assert_eq!(
        out.len(),
        tokens * shape.heads * shape.head_dim,
        "attention gives a head for each query head"
    );
    let mut sequences = vec![];
    let (mut qkv, mut out, mut gradient) = (qkv, out, gradient);
    for &length in lengths {
        let (own, rest) = std::mem::take(&mut gradient).split_at_mut(length * width);
        let (own_qkv, rest_qkv) = qkv.split_at(length * width);
        let (own_out, rest_out) = out.split_at(length * shape.heads * shape.head_dim);
        sequences.push((own, own_qkv, own_out));
        (gradient, qkv, out) = (rest, rest_qkv, rest_out);
    }
    sequences.into_par_iter().for_each(|(gradient, qkv, out)| {
        let group = |kv_head| {
            let group = HeadGroup::new(shape, kv_head, rope, qkv, out);
            simd::run(Width::detect(), group)
        };
        let groups: Vec<Vec<f32>> = (0..shape.kv_heads).into_par_iter().map(group).collect();
        for (kv_head, channels) in groups.iter().enumerate() {
            let mut channels = channels.chunks_exact(shape.head_dim.next_multiple_of(LANES));
            for column in shape.columns(kv_head) {
                for row in gradient.chunks_exact_mut(width) {
                    let to = row[column..][..shape.head_dim].iter_mut();
                    to.zip(channels.next().expect("a head for each")).for_each(|(to, found)| *to += found);
                }
            }
        }
    });
}

impl AttentionShape {
    /// Where the heads of a group begin in a row of `qkv`: its queries, its key, its value.
    fn columns(&self, kv_head: usize) -> Vec<usize> {
        let each = self.heads / self.kv_heads;
        let queries = kv_head * each..(kv_head + 1) * each;
        let heads = queries.chain([self.heads + kv_head, self.heads + self.kv_heads + kv_head]);
        heads.map(|head| head * self.head_dim).collect()
    }
}

/// The queries that share a head of keys and values, in one sequence. Channels are filled up with zeros to whole vectors.
struct HeadGroup<'a> {
    shape: AttentionShape,
    rope: &'a RopeTable,
    /// Channels with those that fill up.
    width: usize,
    tokens: usize,
    /// Turned queries, turned keys, and values: `[heads, tokens, width]`.
    heads: Vec<f32>,
    /// The gradients by what the queries found, `[queries, tokens, width]`.
    out: Vec<f32>,
}

impl<'a> HeadGroup<'a> {
    fn new(shape: AttentionShape, kv_head: usize, rope: &'a RopeTable, qkv: &[f32], out: &[f32]) -> Self {
        let (dim, row) = (shape.head_dim, shape.width());
        let (tokens, width) = (qkv.len() / row, dim.next_multiple_of(LANES));
        let columns = shape.columns(kv_head);
        let (queries, turned) = (columns.len() - 2, columns.len() - 1);
        let gathered = |rows: &[f32], row: usize, columns: &[usize]| -> Vec<f32> {
            let mut heads = vec![0.0; columns.len() * tokens * width];
            for (heads, column) in heads.chunks_exact_mut(tokens * width).zip(columns) {
                let rows = heads.chunks_exact_mut(width).zip(rows.chunks_exact(row));
                rows.for_each(|(head, row)| head[..dim].copy_from_slice(&row[*column..][..dim]));
            }
            heads
        };
        let mut heads = gathered(qkv, row, &columns);
        for (index, head) in heads[..turned * tokens * width].chunks_exact_mut(width).enumerate() {
            rope.turn(index % tokens, head);
        }
        let out = gathered(out, shape.heads * dim, &columns[..queries]);
        HeadGroup { shape, rope, width, tokens, heads, out }
    }
}

impl Job for HeadGroup<'_> {
    /// The gradients by the heads before they were turned, `[heads, tokens, width]`.
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Vec<f32> {
        let (width, tokens) = (self.width, self.tokens);
        let head = tokens * width;
        let queries = self.out.len() / head;
        let (query_heads, kv) = self.heads.split_at(queries * head);
        let (keys, values) = kv.split_at(head);
        let mut gradients = vec![0.0; self.heads.len()];
        let (by_queries, by_kv) = gradients.split_at_mut(queries * head);
        let (by_keys, by_values) = by_kv.split_at_mut(head);
        let mut block = QueryBlock::new(width, tokens);
        for query in 0..queries {
            for first in (0..tokens).step_by(LANES) {
                let rows =
                    (query * tokens + first) * width..(query * tokens + tokens.min(first + LANES)) * width;
                block.take(&query_heads[rows.clone()], &self.out[rows.clone()]);
                block.weigh(l, self.shape, first, keys, values);
                block.by_queries(l, keys, &mut by_queries[rows]);
                block.by_keys_and_values(l, by_keys, by_values);
            }
        }
        for (index, head) in gradients[..(queries + 1) * head].chunks_exact_mut(width).enumerate() {
            self.rope.turn_back(index % tokens, head);
        }
        gradients
    }
}

/// Keys that meet a block of queries at once.
const KEYS: usize = 4;

/// Sixteen successive queries of a head, side by side in lanes; those beyond the end of the sequence are zero.
struct QueryBlock {
    width: usize,
    /// Of each query: `[query, width]`.
    queries: Vec<f32>,
    out: Vec<f32>,
    /// The same by channel.
    queries_by_channel: Vec<[f32; LANES]>,
    out_by_channel: Vec<[f32; LANES]>,
    /// The keys that any of the queries sees.
    seen: Range<usize>,
    /// Of each key: the weight that it has for each query, and the gradient by its score.
    weights: Vec<[f32; LANES]>,
    by_scores: Vec<[f32; LANES]>,
}

impl QueryBlock {
    fn new(width: usize, tokens: usize) -> QueryBlock {
        QueryBlock {
            width,
            queries: vec![0.0; LANES * width],
            out: vec![0.0; LANES * width],
            queries_by_channel: vec![[0.0; LANES]; width],
            out_by_channel: vec![[0.0; LANES]; width],
            seen: 0..0,
            weights: vec![[0.0; LANES]; tokens],
            by_scores: vec![[0.0; LANES]; tokens],
        }
    }

    #[inline(always)]
    fn take(&mut self, queries: &[f32], out: &[f32]) {
        for (to, from) in [(&mut self.queries, queries), (&mut self.out, out)] {
            to.fill(0.0);
            to[..from.len()].copy_from_slice(from);
        }
        for channel in 0..self.width {
            for lane in 0..LANES {
                self.queries_by_channel[channel][lane] = self.queries[lane * self.width + channel];
                self.out_by_channel[channel][lane] = self.out[lane * self.width + channel];
            }
        }
    }

    /// The weights of all keys and the gradients by their scores; the first query is at position `first`.
    #[inline(always)]
    fn weigh<L: Lanes>(&mut self, l: L, shape: AttentionShape, first: usize, keys: &[f32], values: &[f32]) {
        let tokens = keys.len() / self.width;
        let start = shape.window.map_or(0, |window| (first + 1).saturating_sub(window));
        let seen = start..tokens.min(first + LANES);
        products(l, &self.queries_by_channel, keys, &seen, &mut self.weights);
        products(l, &self.out_by_channel, values, &seen, &mut self.by_scores);
        let scale = 1.0 / (shape.head_dim as f32).sqrt();
        let mut largest = l.splat(f32::NEG_INFINITY);
        for key in seen.clone() {
            let scores = &mut self.weights[key];
            l.store(l.mul(l.load(scores), l.splat(scale)), scores);
            for (lane, score) in scores.iter_mut().enumerate() {
                // Lanes beyond the end stand where the last token is.
                let position = (first + lane).min(tokens - 1);
                if key > position || shape.window.is_some_and(|window| key + window <= position) {
                    *score = f32::NEG_INFINITY;
                }
            }
            largest = l.max(largest, l.load(scores));
        }
        let mut sum = l.splat(0.0);
        for scores in &mut self.weights[seen.clone()] {
            let weight = simd::exp(l, l.sub(l.load(scores), largest));
            sum = l.add(sum, weight);
            l.store(weight, scores);
        }
        let share = l.div(l.splat(1.0), sum);
        let mut mean = l.splat(0.0);
        for (weight, by_weight) in self.weights[seen.clone()].iter_mut().zip(&self.by_scores[seen.clone()]) {
            let shared = l.mul(l.load(weight), share);
            mean = l.mul_add(shared, l.load(by_weight), mean);
            l.store(shared, weight);
        }
        for (weight, by_score) in self.weights[seen.clone()].iter().zip(&mut self.by_scores[seen.clone()]) {
            let above = l.mul(l.sub(l.load(by_score), mean), l.splat(scale));
            l.store(l.mul(l.load(weight), above), by_score);
        }
        self.seen = seen;
    }

    /// Puts the gradients by the queries, `[queries, width]`.
    #[inline(always)]
    fn by_queries<L: Lanes>(&self, l: L, keys: &[f32], to: &mut [f32]) {
        for channel in (0..self.width).step_by(KEYS) {
            let mut sums = [l.splat(0.0); KEYS];
            for key in self.seen.clone() {
                let (by_score, key) =
                    (l.load(&self.by_scores[key]), &keys[key * self.width + channel..][..KEYS]);
                for i in 0..KEYS {
                    sums[i] = l.mul_add(by_score, l.splat(key[i]), sums[i]);
                }
            }
            let mut lanes = [0.0; LANES];
            for (i, &sum) in sums.iter().enumerate() {
                l.store(sum, &mut lanes);
                let rows = to.chunks_exact_mut(self.width).zip(lanes);
                rows.for_each(|(row, value)| row[channel + i] = value);
            }
        }
    }

    /// Adds the gradients by keys and values.
    #[inline(always)]
    fn by_keys_and_values<L: Lanes>(&self, l: L, by_keys: &mut [f32], by_values: &mut [f32]) {
        for key in self.seen.clone() {
            let row = key * self.width..(key + 1) * self.width;
            add_rows(l, &mut by_keys[row.clone()], &self.by_scores[key], &self.queries);
            add_rows(l, &mut by_values[row], &self.weights[key], &self.out);
        }
    }
}

/// `Σ channels · row` for each of the rows `range`, by lane.
#[inline(always)]
fn products<L: Lanes>(
    l: L,
    channels: &[[f32; LANES]],
    rows: &[f32],
    range: &Range<usize>,
    to: &mut [[f32; LANES]],
) {
    let width = channels.len();
    for first in range.clone().step_by(KEYS) {
        // A row beyond the end is the last one again, which nobody reads.
        let mut each = [&rows[..0]; KEYS];
        for (i, row) in each.iter_mut().enumerate() {
            *row = &rows[(first + i).min(range.end - 1) * width..][..width];
        }
        let mut sums = [l.splat(0.0); KEYS];
        for (channel, lanes) in channels.iter().enumerate() {
            let lanes = l.load(lanes);
            for i in 0..KEYS {
                sums[i] = l.mul_add(lanes, l.splat(each[i][channel]), sums[i]);
            }
        }
        for (to, &sum) in to[first..range.end].iter_mut().zip(&sums) {
            l.store(sum, to);
        }
    }
}

/// `to += Σ factors · rows`, over as many rows.
#[inline(always)]
fn add_rows<L: Lanes>(l: L, to: &mut [f32], factors: &[f32; LANES], rows: &[f32]) {
    let width = to.len();
    for (vector, to) in to.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut sum = l.load(to);
        for (factor, row) in factors.iter().zip(rows.chunks_exact(width)) {
            sum = l.mul_add(l.splat(*factor), l.load(&row.as_chunks::<LANES>().0[vector]), sum);
        }
        l.store(sum, to);
    }
}
