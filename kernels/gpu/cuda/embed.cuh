// What the embeddings share: a block writes one token's row of COLS values, four at a time. The table lies in rows, or with
// -DFRAGMENTS in the order of a linear that shares it (see `weights.cuh`). -DSCALE_BITS are those of a float that rows are
// multiplied by.
#pragma once
#include "dev.cuh"

#ifndef THREADS
#define THREADS 128
#endif
static_assert(COLS % 4 == 0, "COLS is a multiple of 4");

// `read(row, column)` gives the four values from `column` of a row of the table.
template <class Read> DEV void embed(const i32* token_ids, float* out, int tokens, Read read) {
  const int token = blockIdx.x;
  if (token >= tokens) return;
  grid_wait();
  grid_launch();
  const size_t row = (size_t)token_ids[token];
  for (int column = threadIdx.x * 4; column < COLS; column += THREADS * 4) {
    float4 v = read(row, column);
#ifdef SCALE_BITS
    const float scale = float_of(SCALE_BITS);
    v = {v.x * scale, v.y * scale, v.z * scale, v.w * scale};
#endif
    *(float4*)(out + (size_t)token * COLS + column) = v;
  }
}

// The four codes of BITS bits from `column`, the first in the lowest bits.
template <int BITS> DEV uint2 codes4(const u8* table, size_t row, int column) {
#ifdef FRAGMENTS
  static_assert(COLS % 64 == 0, "COLS is a multiple of 64");
  // A lane's 16 bytes hold four pairs of columns for each step of 16 columns; the next lane has the next pair.
  constexpr int PAIR = BITS / 4, TILE_STEPS = 4 / PAIR;
  const int step = column / 16, pair = column / 2 % 8, lane = (int)(row % 8) * 4 + pair % 4;
  const int of_lane = step % TILE_STEPS * 4 + pair / 4 * 2 + (int)(row % 16) / 8;
  const u8* tile = table + row / 16 * (2 * COLS * BITS) + step / TILE_STEPS * 512;
  const u8* from = tile + lane * 16 + of_lane * PAIR;
  if constexpr (BITS == 16) return {*(const u32*)from, *(const u32*)(from + 16)};
  if constexpr (BITS == 8) return {*(const u16*)from | (u32) * (const u16*)(from + 16) << 16, 0};
  return {*from | (u32)from[16] << 8, 0};
#else
  const u8* from = table + (row * COLS + column) * BITS / 8;
  if constexpr (BITS == 16) return *(const uint2*)from;
  if constexpr (BITS == 8) return {*(const u32*)from, 0};
  const u32 codes = *(const u16*)from;  // the first of two in a byte's high half
  return {(codes >> 4 & 0x0f0f) | (codes << 4 & 0xf0f0), 0};
#endif
}

// Where what belongs to a row and WIDTH columns lies among its like.
template <int WIDTH> DEV size_t group_at(size_t row, int column) {
#ifdef FRAGMENTS
  return (row / 16 * (COLS / WIDTH) + column / WIDTH) * 16 + row % 16;
#else
  return row * (COLS / WIDTH) + column / WIDTH;
#endif
}
