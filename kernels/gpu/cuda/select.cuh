// What a block finds among the logits of one row of VOCAB: the token at which a running sum passes a target, by descending
// logits or by ascending ids. Sums are of integers, so that the order of threads does not matter.
//
// The order of logits is that of keys: -0 is less than 0, of equal logits the smaller id comes first.
#pragma once
#include "dev.cuh"

#ifndef THREADS
#define THREADS 1024
#endif
constexpr int WARPS = THREADS / 32;
constexpr int BUCKETS = 2 * THREADS;
static_assert(THREADS % 32 == 0 && THREADS <= 1024, "a block is up to 32 whole warps");

// Shared memory of a block.
struct Scratch {
  u64 warps[WARPS];     // a number of each warp
  u64 above;            // of the bucket that was found
  u32 bucket;
  u32 low[BUCKETS], high[BUCKETS];  // halves of each bucket's sum
};

// Ascending with the float; NaN lie beyond the infinities.
DEV u32 key_of(float x) { return bits_of(x) & 0x80000000 ? ~bits_of(x) : bits_of(x) | 0x80000000; }
DEV float logit_of(u32 key) { return float_of(key & 0x80000000 ? key & 0x7fffffff : ~key); }

// Calls `visit(id, logit)` for the whole row, by all threads; loads run ahead.
template <class Visit> DEV void each_logit(const float* logits, Visit visit) {
  constexpr int AHEAD = 4;
  for (int first = threadIdx.x; first < VOCAB; first += AHEAD * THREADS) {
    float logit[AHEAD];
#pragma unroll
    for (int i = 0; i < AHEAD; i++) logit[i] = first + i * THREADS < VOCAB ? logits[first + i * THREADS] : 0.0f;
#pragma unroll
    for (int i = 0; i < AHEAD; i++)
      if (first + i * THREADS < VOCAB) visit(first + i * THREADS, logit[i]);
  }
}

// Combines a number of each thread; every thread gets the result.
template <class Combine> DEV u64 combine(u64 x, Scratch& scratch, Combine with) {
#pragma unroll
  for (int mask = 16; mask; mask /= 2) x = with(x, shuffle_xor(x, mask));
  if (threadIdx.x % 32 == 0) scratch.warps[threadIdx.x / 32] = x;
  block_sync();
  x = scratch.warps[0];
  for (int warp = 1; warp < WARPS; warp++) x = with(x, scratch.warps[warp]);
  block_sync();
  return x;
}

// The sum of `measure(logit)` over the row.
template <class Measure> DEV u64 total(const float* logits, Scratch& scratch, Measure measure) {
  u64 sum = 0;
  each_logit(logits, [&](int, float logit) { sum += measure(logit); });
  return combine(sum, scratch, [](u64 a, u64 b) { return a + b; });
}

// Adds to a bucket: the upper half when the lower one overflows.
DEV void add_to_bucket(Scratch& scratch, u32 bucket, u64 x) {
  if (x == 0) return;
  const u32 low = (u32)x, before = atomic_add(scratch.low + bucket, low);
  const u32 high = (u32)(x >> 32) + (before + low < before ? 1 : 0);
  if (high != 0) atomic_add(scratch.high + bucket, high);
}

DEV u64 bucket_sum(const Scratch& scratch, int bucket) { return scratch.low[bucket] | (u64)scratch.high[bucket] << 32; }

// The first bucket at which the running sum, `above` before all, passes `target`; every thread gets it in `scratch`.
DEV void find_bucket(Scratch& scratch, u64 above, u64 target) {
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const u64 first = bucket_sum(scratch, 2 * thread), both = first + bucket_sum(scratch, 2 * thread + 1);
  u64 sum = both;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const u64 left = shuffle_up(sum, distance);
    if (lane >= distance) sum += left;
  }
  if (lane == 31) scratch.warps[warp] = sum;
  block_sync();
  u64 before = above + sum - both;
  for (int i = 0; i < warp; i++) before += scratch.warps[i];
  if (before <= target && target < before + both) {
    const bool second = target >= before + first;
    scratch.bucket = 2 * thread + (second ? 1 : 0);
    scratch.above = before + (second ? first : 0);
  }
  block_sync();
}

// A key, and the sum of all larger ones.
struct Threshold {
  u32 key;
  u64 above;
};

// The key at which the running sum of `measure(logit)`, from the largest key down, passes `target`. No key is larger than
// `high`, and the sum passes the target at `low` at the latest.
template <class Measure>
DEV Threshold find_threshold(const float* logits, Scratch& scratch, Measure measure, u32 low, u32 high, u64 target) {
  u64 above = 0;
  while (low < high) {
    int shift = 0;
    while ((high - low) >> shift >= BUCKETS) shift++;
    for (int i = threadIdx.x; i < BUCKETS; i += THREADS) scratch.low[i] = scratch.high[i] = 0;
    block_sync();
    each_logit(logits, [&](int, float logit) {
      const u32 key = key_of(logit);
      if (low <= key && key <= high) add_to_bucket(scratch, (high - key) >> shift, measure(logit));
    });
    block_sync();
    find_bucket(scratch, above, target);
    above = scratch.above;
    high -= scratch.bucket << shift;
    const u32 span = (1u << shift) - 1;
    if (high - low > span) low = high - span;
  }
  return {high, above};
}

// The id at which the running sum of `measure(logit)`, from id 0 up, passes `target`, which it does.
template <class Measure> DEV int id_of(const float* logits, Scratch& scratch, Measure measure, u64 target) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int begin = 0, end = VOCAB;
  while (end - begin > 1) {
    const int share = (end - begin + WARPS - 1) / WARPS, first = begin + warp * share;
    const int last = first + share < end ? first + share : end;
    u64 sum = 0;
    for (int id = first + lane; id < last; id += 32) sum += measure(logits[id]);
#pragma unroll
    for (int mask = 16; mask; mask /= 2) sum += shuffle_xor(sum, mask);
    if (lane == 0) scratch.warps[warp] = sum;
    block_sync();
    int found = 0;
    while (found < WARPS - 1 && target >= scratch.warps[found]) target -= scratch.warps[found++];
    block_sync();
    begin += found * share;
    end = begin + share < end ? begin + share : end;
  }
  return begin;
}
