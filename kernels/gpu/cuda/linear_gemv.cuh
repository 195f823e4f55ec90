// out[token][row] = channel(row) * sum over columns of weight * x, + bias: 1 to 8 tokens, with all of x in shared memory.
//
// A block of WARPS warps takes one tile of 16 rows at a time, every gridDim.x-th; its warps share out the tile's columns,
// STAGE_BLOCKS x 64 at a time each. Weights come through a ring of STAGES stages for each warp, which runs on from tile to tile
// without a barrier of the block. Sums are left to `mma`, with zeros for the tokens that are not there: one instruction for
// 256 weights, where CUDA cores take a conversion and a multiply-add for each, and no sums to shuffle. Warps are added in a
// fixed order.
//
// Shared memory: tables, x, rings, 2 x WARPS x 16 x TOKENS sums.
#pragma once
#include "output.cuh"
#include "weights.cuh"

#ifndef WARPS
#define WARPS 8
#endif
#ifndef STAGE_BLOCKS
#define STAGE_BLOCKS 1
#endif
constexpr int THREADS = WARPS * 32;
// Iterations of a warp over a tile; it may sit out the last.
constexpr int ITERS = (BLOCKS / STAGE_BLOCKS + WARPS - 1) / WARPS;
constexpr int X_WORDS = COLS / 2;         // of a token
constexpr int X_STRIDE = X_WORDS + 4;  // so that neighbouring tokens start in different banks
static_assert(TOKENS >= 1 && TOKENS <= 8, "TOKENS is 1 to 8");
static_assert(BLOCKS % STAGE_BLOCKS == 0, "a stage has whole blocks");

// x of one token as the lanes want it: for each block and t, the columns 2t, 2t + 1, 2t + 8 and 2t + 9 of its four steps.
DEV void stage_x(u32* to, const u16* x, int tokens, int thread) {
  for (int i = thread; i < TOKENS * X_WORDS; i += THREADS) {
    const int token = i / X_WORDS, pair = i % X_WORDS, within = pair % 32;
    const int step = within / 8, half = within / 4 % 2, t = within % 4;
    to[token * X_STRIDE + pair - within + t * 8 + step * 2 + half] = token < tokens ? ((const u32*)x)[i] : 0;
  }
}

// Adds the products of one block to what `mma_16x8x16` leaves: rows g and g + 8, for tokens 2t and 2t + 1 each.
template <class W>
DEV void add_block(float (&sums)[4], const u8* staged, const u32* x, const typename W::Block& block, int lane) {
  u32 words[Staged<W>::WORDS];
  Staged<W>::words(words, staged, lane);
  float part[4] = {};
#pragma unroll
  for (int half = 0; half < 2; half++) {  // two steps share one 16-byte load of x
    uint4 pairs = {0, 0, 0, 0};
    if (lane / 4 < TOKENS) pairs = *(const uint4*)(x + lane / 4 * X_STRIDE + lane % 4 * 8 + half * 4);
    u32 a[4];
    W::decode(a, words + half * 2 * Staged<W>::STEP_WORDS, block);
    mma_act(W::BLOCK_SCALED ? part : sums, a, pairs.x, pairs.y);
    W::decode(a, words + (half * 2 + 1) * Staged<W>::STEP_WORDS, block);
    mma_act(W::BLOCK_SCALED ? part : sums, a, pairs.z, pairs.w);
  }
  if (!W::BLOCK_SCALED) return;
#pragma unroll
  for (int i = 0; i < 4; i++) sums[i] += part[i] * block.scale[i / 2];
}

// Adds the sums of all warps and writes the tile's rows. `sums` is cleared.
template <class W>
DEV void finish_tile(const W& w, float (&sums)[4], float* shared, const Output& out, int tile, int tokens) {
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int token = lane % 4 * 2 + i % 2, row = lane / 4 + i / 2 * 8;
    if (token < TOKENS) shared[(warp * TOKENS + token) * TILE_ROWS + row] = sums[i];
    sums[i] = 0;
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
  u8* rings = (u8*)(staged_x + TOKENS * X_STRIDE);
  float* sums_of_warps = (float*)(rings + WARPS * STAGES * STAGE_BLOCKS * Stage::BYTES);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  u8* ring = rings + warp * STAGES * STAGE_BLOCKS * Stage::BYTES;
  const int tiles = (TILES - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x;

  const auto copy = [&](int iter) {
    const int tile = blockIdx.x + iter / ITERS * gridDim.x, block = (iter % ITERS * WARPS + warp) * STAGE_BLOCKS;
    if (iter < tiles * ITERS && block < BLOCKS)
#pragma unroll
      for (int i = 0; i < STAGE_BLOCKS; i++)
        Stage::copy(w, smem(ring + (iter % STAGES * STAGE_BLOCKS + i) * Stage::BYTES), tile, block + i, lane);
    copy_commit();
  };
  for (int iter = 0; iter < STAGES - 1; iter++) copy(iter);
  w.fill(table, threadIdx.x, THREADS);
  // All before this is of weights alone, and goes on while the launch before this one ends.
  grid_wait();
  grid_launch();
  stage_x(staged_x, x, tokens, threadIdx.x);
  block_sync();

  float sums[4] = {};
  for (int iter = 0; iter < tiles * ITERS; iter++) {
    const int tile = blockIdx.x + iter / ITERS * gridDim.x, block = (iter % ITERS * WARPS + warp) * STAGE_BLOCKS;
    copy_wait<STAGES - 2>();
    warp_sync();  // the block's copies of every lane are done, and every lane is done with the stage copied to next
    copy(iter + STAGES - 1);
    if (block < BLOCKS)
#pragma unroll
      for (int i = 0; i < STAGE_BLOCKS; i++) {
        const u8* staged = ring + (iter % STAGES * STAGE_BLOCKS + i) * Stage::BYTES;
        const auto known = w.block(staged + Stage::CODES, table, tile, block + i, lane);
        add_block<W>(sums, staged, staged_x + (block + i) * 32, known, lane);
      }
    if (iter % ITERS == ITERS - 1) {
      // Two buffers: no warp is more than one tile ahead of another.
      float* buffer = sums_of_warps + iter / ITERS % 2 * WARPS * TILE_ROWS * TOKENS;
      finish_tile(w, sums, buffer, out, tile, tokens);
    }
  }
}
