// out[token][row] = channel(row) * sum over columns of weight * x, + bias: TOKENS tokens at a time on `mma` units, whose
// 16-row side takes the weights as they come out of their registers.
//
// A block of ROW_WARPS x K_WARPS warps computes a group of rows: each of ROW_WARPS warps TILES_PER_WARP tiles of 16. K_WARPS
// warps share out the columns, 64 at a time each. One *part* is K_WARPS x 64 columns of a group; parts go through a ring of
// STAGES stages, in the order of `stream_k.cuh`, and the ring runs on from group to group. gridDim.y counts token tiles,
// gridDim.x is at most GROUPS x PARTS.
//
// Shared memory: tables, stages (x, then weights), sums of K_WARPS - 1 warps, a flag of 16 bytes.
#pragma once
#include "output.cuh"
#include "stream_k.cuh"
#include "weights.cuh"

#ifndef ROW_WARPS
#define ROW_WARPS 4
#endif
#ifndef K_WARPS
#define K_WARPS 2
#endif
#ifndef TILES_PER_WARP
#define TILES_PER_WARP 1
#endif
constexpr int THREADS = ROW_WARPS * K_WARPS * 32;
constexpr int GROUP_TILES = ROW_WARPS * TILES_PER_WARP;
constexpr int GROUPS = (TILES + GROUP_TILES - 1) / GROUP_TILES;
constexpr int PARTS = (BLOCKS + K_WARPS - 1) / K_WARPS;
constexpr int TOKEN_TILES = TOKENS / 8;
constexpr int SUMS = TILES_PER_WARP * TOKEN_TILES * 4;  // of a lane
constexpr int X_BYTES = TOKENS * BLOCK_COLS * 2;        // of one K warp
static_assert(TOKENS % 8 == 0 && (TOKENS == 8 || TOKENS % 16 == 0), "TOKENS is 8 or a multiple of 16");

// One stage of the ring.
template <class W> struct Stage {
  static constexpr int BYTES = K_WARPS * X_BYTES + ROW_WARPS * K_WARPS * TILES_PER_WARP * Staged<W>::BYTES;

  static DEV u8* x(u8* stage, int k_warp) { return stage + k_warp * X_BYTES; }
  static DEV u8* weights(u8* stage, int warp, int i) {
    return stage + K_WARPS * X_BYTES + (warp * TILES_PER_WARP + i) * Staged<W>::BYTES;
  }
};

// One lane's sums as `mma_16x8x16` leaves them: of rows g and g + 8, for two tokens each.
typedef float Sums[TILES_PER_WARP][TOKEN_TILES][4];

// Where chunk `chunk` (16 bytes) of a token's 64 columns lies: swizzled, so that eight tokens' chunks take all banks.
DEV int x_at(int token, int chunk) { return token * (BLOCK_COLS * 2) + (chunk ^ token % 8) * 16; }

// Copies the activations of one part. Tokens and columns beyond the end are zeros.
DEV void copy_x(u8* stage, const u16* x, int part, int first_token, int tokens) {
  for (int i = threadIdx.x; i < K_WARPS * TOKENS * 8; i += THREADS) {
    const int k_warp = i / (TOKENS * 8), token = i / 8 % TOKENS, chunk = i % 8;
    const int block = part * K_WARPS + k_warp;
    const bool valid = first_token + token < tokens && block < BLOCKS;
    const u16* from = x + (valid ? (size_t)(first_token + token) * COLS + block * BLOCK_COLS + chunk * 8 : 0);
    copy16(smem(stage + k_warp * X_BYTES) + x_at(token, chunk), from, valid);
  }
}

// Copies a warp's own weights of one part.
template <class W> DEV void copy_weights(const W& w, u8* stage, int group, int block, int warp, int lane) {
  if (block >= BLOCKS) return;
#pragma unroll
  for (int i = 0; i < TILES_PER_WARP; i++) {
    const int tile = group * GROUP_TILES + warp % ROW_WARPS * TILES_PER_WARP + i;
    // The last group repeats the last tile; what comes of it is not written.
    Staged<W>::copy(w, smem(Stage<W>::weights(stage, warp, i)), tile < TILES ? tile : TILES - 1, block, lane);
  }
}

// The B registers of two neighbouring 8-token tiles in one step, or of one in two steps where TOKENS is 8.
DEV void load_x(u32 (&b)[4], const u8* x, int step, int pair, int lane) {
  const int matrix = lane / 8;
#if TOKENS == 8
  load_matrix_x4(b, smem(x) + x_at(lane % 8, step * 2 + matrix));
#else
  load_matrix_x4(b, smem(x) + x_at(pair * 16 + matrix / 2 * 8 + lane % 8, step * 2 + matrix % 2));
#endif
}

// sums += weights of one step times x.
DEV void multiply_step(float (&sums)[TOKEN_TILES][4], const u32 (&a)[4], const u32 (&b)[TOKEN_TILES][2]) {
#pragma unroll
  for (int i = 0; i < TOKEN_TILES; i++) mma_act(sums[i], a, b[i][0], b[i][1]);
}

// Adds a warp's products of one part.
template <class W>
DEV void add_part(Sums& sums, const W& w, u8* stage, const u8* table, int group,
                  int block, int warp, int lane) {
  const u8* x = Stage<W>::x(stage, warp / ROW_WARPS);
  u32 words[TILES_PER_WARP][Staged<W>::WORDS];
  typename W::Block known[TILES_PER_WARP];
  Sums part = {};
#pragma unroll
  for (int i = 0; i < TILES_PER_WARP; i++) {
    const u8* staged = Stage<W>::weights(stage, warp, i);
    const int tile = group * GROUP_TILES + warp % ROW_WARPS * TILES_PER_WARP + i;
    Staged<W>::words(words[i], staged, lane);
    known[i] = w.block(staged + Staged<W>::CODES, table, tile, block, lane);
  }
  u32 b[TOKEN_TILES][2], loaded[4];
#pragma unroll
  for (int step = 0; step < STEPS; step++) {
#if TOKENS == 8
    if (step % 2 == 0) load_x(loaded, x, step, 0, lane);
    b[0][0] = loaded[step % 2 * 2], b[0][1] = loaded[step % 2 * 2 + 1];
#else
#pragma unroll
    for (int pair = 0; pair < TOKEN_TILES / 2; pair++) {
      load_x(loaded, x, step, pair, lane);
      b[2 * pair][0] = loaded[0], b[2 * pair][1] = loaded[1];
      b[2 * pair + 1][0] = loaded[2], b[2 * pair + 1][1] = loaded[3];
    }
#endif
#pragma unroll
    for (int i = 0; i < TILES_PER_WARP; i++) {
      u32 a[4];
      W::decode(a, words[i] + step * Staged<W>::STEP_WORDS, known[i]);
      multiply_step(W::BLOCK_SCALED ? part[i] : sums[i], a, b);
    }
  }
  if (!W::BLOCK_SCALED) return;
#pragma unroll
  for (int i = 0; i < TILES_PER_WARP; i++)
#pragma unroll
    for (int j = 0; j < TOKEN_TILES * 4; j++) sums[i][j / 4][j % 4] += part[i][j / 4][j % 4] * known[i].scale[j / 2 % 2];
}

// Adds the sums of the warps that share out the columns into those of the first ROW_WARPS warps.
DEV void add_k_warps(float (&sums)[SUMS], float* shared, int warp, int lane) {
#if K_WARPS > 1
  const int row_warp = warp % ROW_WARPS, k_warp = warp / ROW_WARPS;
  const auto at = [&](int k, int i) { return (((k - 1) * ROW_WARPS + row_warp) * SUMS + i) * 32 + lane; };
  if (k_warp > 0)
#pragma unroll
    for (int i = 0; i < SUMS; i++) shared[at(k_warp, i)] = sums[i];
  block_sync();
  if (k_warp == 0)
    for (int k = 1; k < K_WARPS; k++)
#pragma unroll
      for (int i = 0; i < SUMS; i++) sums[i] += shared[at(k, i)];
#endif
}

template <class W> DEV void linear_mma(const W& w, const u16* x, const Output& out, int tokens, const Workspace& workspace) {
  SHARED(shared);
  u8* stages = shared + (W::TABLE + 127) / 128 * 128;
  float* k_sums = (float*)(stages + STAGES * Stage<W>::BYTES);
  u32* flag = (u32*)(k_sums + (K_WARPS - 1) * ROW_WARPS * SUMS * 32);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, first_token = blockIdx.y * TOKENS;
  const WorkRange range(GROUPS, PARTS);
  const int begin = range.begin(blockIdx.x), end = range.end(blockIdx.x);

  const auto copy = [&](int i, bool weights, bool activations) {
    if (i < end) {
      u8* stage = stages + (i - begin) % STAGES * Stage<W>::BYTES;
      if (weights) copy_weights(w, stage, i / PARTS, i % PARTS * K_WARPS + warp / ROW_WARPS, warp, lane);
      if (activations) copy_x(stage, x, i % PARTS, first_token, tokens);
    }
    if (activations) copy_commit();
  };
  // All before the wait is of weights alone, and goes on while the launch before this one ends.
  for (int i = 0; i < STAGES - 1; i++) copy(begin + i, true, false);
  w.fill(shared, threadIdx.x, THREADS);
  grid_wait();
  grid_launch();
  for (int i = 0; i < STAGES - 1; i++) copy(begin + i, false, true);

  Sums sums = {};
  float (&all)[SUMS] = *(float (*)[SUMS])sums;
  for (int i = begin; i < end; i++) {
    copy_wait<STAGES - 2>();
    block_sync();  // every thread's copies of this part are done, and every warp is done with the stage copied to next
    copy(i + STAGES - 1, true, true);
    const int group = i / PARTS, block = i % PARTS * K_WARPS + warp / ROW_WARPS;
    u8* stage = stages + (i - begin) % STAGES * Stage<W>::BYTES;
    if (block < BLOCKS) add_part(sums, w, stage, shared, group, block, warp, lane);
    if (i % PARTS != PARTS - 1 && i != end - 1) continue;

    add_k_warps(all, k_sums, warp, lane);
    if (warp < ROW_WARPS) {
      const auto sync = [] { named_sync(1, ROW_WARPS * 32); };
      const int first_tile = group * GROUP_TILES + warp * TILES_PER_WARP;
      if (fixup<SUMS, ROW_WARPS * 32>(all, workspace, range, group, threadIdx.x, flag, sync))
#pragma unroll
        for (int j = 0; j < TILES_PER_WARP; j++)
          write_tile(w, *(float (*)[TOKEN_TILES * 4])sums[j], out, first_tile + j, first_token, tokens, lane);
    }
#pragma unroll
    for (int j = 0; j < SUMS; j++) all[j] = 0;
  }
}
