// What the norms share: a block holds one row of COLS values in registers, four neighbours at a time.
#pragma once
#include "activation.cuh"

#ifndef THREADS
#define THREADS 256
#endif
static_assert(COLS % 4 == 0, "COLS is a multiple of 4");
static_assert(THREADS % 32 == 0, "a block is whole warps");
constexpr int TURNS = (COLS / 4 + THREADS - 1) / THREADS;

// Adds over the block; every thread gets the sum. `warp_sums` is a float for each warp.
DEV float block_sum(float x, float* warp_sums) {
#pragma unroll
  for (int mask = 16; mask; mask /= 2) x += shuffle_xor(x, mask);
  const int lane = threadIdx.x % 32;
  if (lane == 0) warp_sums[threadIdx.x / 32] = x;
  block_sync();
  x = lane < THREADS / 32 ? warp_sums[lane] : 0.0f;
#pragma unroll
  for (int mask = 16; mask; mask /= 2) x += shuffle_xor(x, mask);
  return x;
}

// out = row / sqrt(mean(row^2) + eps) * weight.
DEV void write_normed(const float4 (&row)[TURNS], const float* weight, u16* out, float eps, float* warp_sums) {
  float squares = 0;
#pragma unroll
  for (int turn = 0; turn < TURNS; turn++) {
    const float4 v = row[turn];
    squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
  }
  const float inverse = rsqrt_approx(block_sum(squares, warp_sums) * (1.0f / COLS) + eps);
#pragma unroll
  for (int turn = 0; turn < TURNS; turn++) {
    const int column = (turn * THREADS + threadIdx.x) * 4;
    if (column >= COLS) continue;
    const float4 v = row[turn], w = *(const float4*)(weight + column);
    store_act4(out + column, {v.x * inverse * w.x, v.y * inverse * w.y, v.z * inverse * w.z, v.w * inverse * w.w});
  }
}
