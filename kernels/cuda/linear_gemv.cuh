// out[token][row] = channel(row) * sum over columns of weight * x, + bias: one or two tokens, without matrix units.
//
// A block of WARPS warps takes one tile of 16 rows at a time, every gridDim.x-th; its warps share out the tile's blocks of
// 64 columns. Weights come through a ring of STAGES blocks for each warp, which runs on from tile to tile; all of x lies in
// shared memory. Each lane sums in f32 what it decodes; lanes, then warps, are added in a fixed order.
//
// Shared memory: tables, x, rings, 2 x WARPS x 16 x TOKENS sums.
#pragma once
#include "weights.cuh"
#include "output.cuh"

#ifndef WARPS
#define WARPS 8
#endif
constexpr int THREADS = WARPS * 32;
// Blocks of a tile that a warp takes; the last may be none.
constexpr int TURNS = (BLOCKS + WARPS - 1) / WARPS;

// x of one token as the lanes want it: for each block and t, the columns 2t, 2t + 1, 2t + 8 and 2t + 9 of its four steps.
DEV void stage_x(u32* to, const u16* x, int tokens, int thread) {
  for (int i = thread; i < TOKENS * COLS / 2; i += THREADS) {
    const int token = i / (COLS / 2), pair = i % (COLS / 2), within = pair % 32;
    const int step = within / 8, half = within / 4 % 2, t = within % 4;
    to[token * (COLS / 2) + pair - within + t * 8 + step * 2 + half] = token < tokens ? ((const u32*)x)[i] : 0;
  }
}

// The products of one block, for rows g and g + 8 and each token.
template <class W>
DEV void add_block(float (&sums)[2][TOKENS], const u8* staged, const u32* x, const typename W::Block& block, int lane) {
  u32 words[Staged<W>::WORDS];
  Staged<W>::words(words, staged, lane);
  float part[2][TOKENS] = {};
#pragma unroll
  for (int half = 0; half < 2; half++) {  // two steps share one 16-byte load of x
    u32 a[2][4];
#pragma unroll
    for (int s = 0; s < 2; s++) W::decode(a[s], words + (half * 2 + s) * Staged<W>::STEP_WORDS, block);
#pragma unroll
    for (int token = 0; token < TOKENS; token++) {
      const uint4 pairs = *(const uint4*)(x + token * (COLS / 2) + lane % 4 * 8 + half * 4);
      const u32 xs[4] = {pairs.x, pairs.y, pairs.z, pairs.w};
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float x0 = from_f16((u16)xs[i]), x1 = from_f16((u16)(xs[i] >> 16));
#pragma unroll
        for (int row = 0; row < 2; row++) {
          const u32 pair = a[i / 2][i % 2 * 2 + row];
          part[row][token] += from_f16((u16)pair) * x0;
          part[row][token] += from_f16((u16)(pair >> 16)) * x1;
        }
      }
    }
  }
#pragma unroll
  for (int row = 0; row < 2; row++)
#pragma unroll
    for (int token = 0; token < TOKENS; token++) sums[row][token] += part[row][token] * block.scale[row];
}

// Adds the sums of all lanes and warps and writes the tile's rows. `sums` is cleared.
template <class W>
DEV void finish_tile(const W& w, float (&sums)[2][TOKENS], float* shared, const Output& out, int tile, int tokens) {
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
#pragma unroll
  for (int row = 0; row < 2; row++)
#pragma unroll
    for (int token = 0; token < TOKENS; token++) {
      float sum = sums[row][token];
      sum += shuffle_xor(sum, 1);
      sum += shuffle_xor(sum, 2);
      if (lane % 4 == 0) shared[(warp * TOKENS + token) * TILE_ROWS + lane / 4 + row * 8] = sum;
      sums[row][token] = 0;
    }
  block_sync();
  if (thread >= TILE_ROWS * TOKENS) return;
  const int token = thread / TILE_ROWS, row = tile * TILE_ROWS + thread % TILE_ROWS;
  float sum = 0;
  for (int i = 0; i < WARPS; i++) sum += shared[i * TOKENS * TILE_ROWS + thread];
  if (row < ROWS && token < tokens) out.write(token, row, sum * w.channel(row));
}

template <class W> DEV void linear_gemv(const W& w, const u16* x, const Output& out, int tokens) {
  using Stage = Staged<W>;
  SHARED(shared);
  u8* table = shared;
  u32* staged_x = (u32*)(table + W::TABLE);
  u8* rings = (u8*)(staged_x + TOKENS * COLS / 2);
  float* sums_of_warps = (float*)(rings + WARPS * STAGES * Stage::BYTES);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  u8* ring = rings + warp * STAGES * Stage::BYTES;
  const int tiles = (TILES - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x;

  const auto copy = [&](int turn) {
    const int tile = blockIdx.x + turn / TURNS * gridDim.x, block = turn % TURNS * WARPS + warp;
    if (turn < tiles * TURNS && block < BLOCKS)
      Stage::copy(w, smem(ring + turn % STAGES * Stage::BYTES), tile, block, lane);
    copy_commit();
  };
  for (int turn = 0; turn < STAGES - 1; turn++) copy(turn);
  w.fill(table, threadIdx.x, THREADS);
  stage_x(staged_x, x, tokens, threadIdx.x);
  block_sync();

  float sums[2][TOKENS] = {};
  for (int turn = 0; turn < tiles * TURNS; turn++) {
    const int tile = blockIdx.x + turn / TURNS * gridDim.x, block = turn % TURNS * WARPS + warp;
    copy_wait<STAGES - 2>();
    warp_sync();  // the block's copies of every lane are done, and every lane is done with the stage copied to next
    copy(turn + STAGES - 1);
    if (block < BLOCKS) {
      const u8* staged = ring + turn % STAGES * Stage::BYTES;
      const auto known = w.block(staged + Stage::CODES, table, tile, block, lane);
      add_block<W>(sums, staged, staged_x + block * 32, known, lane);
    }
    if (turn % TURNS == TURNS - 1) {
      // Two buffers: no warp is more than one tile ahead of another.
      float* buffer = sums_of_warps + turn / TURNS % 2 * WARPS * TILE_ROWS * TOKENS;
      finish_tile(w, sums, buffer, out, tile, tokens);
    }
  }
}
