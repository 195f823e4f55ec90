// A block that holds one row of COLS values in registers, four neighbours at a time, and writes it as activations, or with
// -DOUT_FP8 as E4M3 with a scale for the row, in the order of `store_pairs`.
#pragma once
#include "activation.cuh"

#ifndef THREADS
#define THREADS 256
#endif
static_assert(COLS % 4 == 0, "COLS is a multiple of 4");
static_assert(THREADS % 32 == 0, "a block is whole warps");
constexpr int VECS_PER_THREAD = (COLS / 4 + THREADS - 1) / THREADS;

// The lane's own of a row; zeros beyond its end.
typedef float4 Row[VECS_PER_THREAD];

DEV int column_of(int iter) { return (iter * THREADS + threadIdx.x) * 4; }

// Whether the block has a token, the one of its index; what it reads is written then.
DEV bool has_token(int tokens) {
  if ((int)blockIdx.x >= tokens) return false;
  grid_wait();
  grid_launch();
  return true;
}

// Fills a row with the four values from each column on that `load` gives.
template <class Load> DEV void load_row(Row& row, Load load) {
#pragma unroll
  for (int iter = 0; iter < VECS_PER_THREAD; iter++) {
    row[iter] = float4{0, 0, 0, 0};
    if (column_of(iter) < COLS) row[iter] = load(column_of(iter));
  }
}

DEV float sum_of(float a, float b) { return a + b; }
DEV float most_of(float a, float b) { return a > b ? a : b; }

// Combines a number of each thread of the block; every thread gets the result. `warps` is a float for each warp.
template <class Combine> DEV float combine(float x, float* warps, Combine with) {
#pragma unroll
  for (int mask = 16; mask; mask /= 2) x = with(x, shuffle_xor(x, mask));
  const int lane = threadIdx.x % 32;
  if (lane == 0) warps[threadIdx.x / 32] = x;
  block_sync();
  // Neither sums of squares nor magnitudes are less than 0.
  x = lane < THREADS / 32 ? warps[lane] : 0.0f;
#pragma unroll
  for (int mask = 16; mask; mask /= 2) x = with(x, shuffle_xor(x, mask));
  return x;
}

#ifdef OUT_FP8
typedef u8 Out;
static_assert(COLS % 16 == 0, "pairs change places within 16 columns");

// Pairs of columns stand in the order 0, 4, 1, 5, 2, 6, 3, 7 within every 16: four neighbouring bytes are then the columns
// that a lane of the matrix units has of a weight in `fragments`. Otherwise weights would have to change lanes, or bytes places
// within the 16 that a copy to shared memory moves; here it costs two stores instead of one.
DEV void store_pairs(Out* row, int column, u16 first, u16 second) {
  Out* to = row + column / 16 * 16 + column % 8 * 2 + column % 16 / 8 * 2;
  *(u16*)to = first;
  *(u16*)(to + 4) = second;
}

// As weights are: the largest magnitude becomes 448; the scale of a row of zeros is 1. `warps` is a float for each warp.
DEV void write_row(const Row& row, Out* out, float* scale, float* warps) {
  float most = 0;
#pragma unroll
  for (int iter = 0; iter < VECS_PER_THREAD; iter++) {
    const float values[4] = {row[iter].x, row[iter].y, row[iter].z, row[iter].w};
#pragma unroll
    for (int i = 0; i < 4; i++) most = most_of(most, float_of(bits_of(values[i]) & 0x7fffffff));
  }
  most = combine(most, warps, most_of);
  const float factor = most == 0.0f ? 1.0f : most_of(most * (1.0f / 448.0f), 1.17549435e-38f);
  if (threadIdx.x == 0) *scale = factor;
  const float inverse = 1.0f / factor;
#pragma unroll
  for (int iter = 0; iter < VECS_PER_THREAD; iter++) {
    if (column_of(iter) >= COLS) continue;
    const float4 v = row[iter];
    const auto pair = [&](float x, float y) { return (u16)(to_e4m3(x * inverse) | to_e4m3(y * inverse) << 8); };
    store_pairs(out, column_of(iter), pair(v.x, v.y), pair(v.z, v.w));
  }
}
#else
typedef u16 Out;

DEV void write_row(const Row& row, Out* out) {
#pragma unroll
  for (int iter = 0; iter < VECS_PER_THREAD; iter++)
    if (column_of(iter) < COLS) store_act4(out + column_of(iter), row[iter]);
}
#endif
