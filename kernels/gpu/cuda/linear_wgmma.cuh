// out[token][row] = channel(row) * sum over columns of weight * x, + bias: TOKENS tokens at a time on Hopper's `wgmma`
// units, whose register operand takes the weights. Products are of 16-bit values, or with -DX_FP8 of E4M3.
//
// A block is CONSUMERS warpgroups, each computing 64 rows, and one warp that brings in what they need: weights by bulk
// copies, x in the swizzle that the units read. One *part* is STAGE_BLOCKS blocks of columns of CONSUMERS x 64 rows, a group.
// Parts go through a ring of STAGES stages in the order of `stream_k.cuh`; a stage's `full` barrier completes when all of
// it has arrived, its `empty` barrier when every consumer is done with it. gridDim.y counts token tiles, gridDim.x is at
// most GROUPS x PARTS.
//
// Shared memory: stages (x, then weights), tables, barriers, a flag for each.
#pragma once
#include "output.cuh"
#include "stream_k.cuh"
#include "weights.cuh"

#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef STAGE_BLOCKS
#define STAGE_BLOCKS 1
#endif
constexpr int CONSUMER_THREADS = CONSUMERS * 128;
constexpr int THREADS = CONSUMER_THREADS + 32;
constexpr int GROUP_TILES = CONSUMERS * 4;
constexpr int GROUPS = (TILES + GROUP_TILES - 1) / GROUP_TILES;
constexpr int PARTS = BLOCKS / STAGE_BLOCKS;
constexpr int SUMS = TOKENS / 2;       // of a lane
constexpr int X_BYTES = TOKENS * 128;  // of one block of columns
// x of a part is published when that of so many later parts is under way.
constexpr int LAG = STAGES > 2 ? 2 : 1;
static_assert(BLOCKS % STAGE_BLOCKS == 0, "a part has whole blocks");
static_assert(TOKENS % 16 == 0, "TOKENS is 16, 32, 64 or 128");

#ifdef X_FP8
typedef u8 XValue;
template <int N> DEV void multiply(float (&d)[N], const u32 (&a)[4], u64 b, int add) { wgmma_64xNx32_e4m3(d, a, b, add); }
#else
typedef u16 XValue;
template <int N> DEV void multiply(float (&d)[N], const u32 (&a)[4], u64 b, int add) { wgmma_act(d, a, b, add); }
#endif

// One stage of the ring: x by blocks of columns, then each tile's codes, then each tile's extras.
template <class W> struct Stage {
  static constexpr int CODES = STAGE_BLOCKS * Staged<W>::CODES;  // of a tile
  static constexpr int EXTRA = STAGE_BLOCKS * W::EXTRA;
  static constexpr int X = STAGE_BLOCKS * X_BYTES;
  static constexpr int BYTES = (X + GROUP_TILES * (CODES + EXTRA) + 1023) / 1024 * 1024;

  static DEV u8* codes(u8* stage, int tile) { return stage + X + tile * CODES; }
  static DEV u8* extra(u8* stage, int tile) { return stage + X + GROUP_TILES * CODES + tile * EXTRA; }
};

// The ring's barriers.
struct Ring {
  u64* full;
  u64* empty;
};

DEV int stage_of(int iter) { return iter % STAGES; }
DEV u32 parity_of(int iter) { return iter / STAGES % 2; }

// Starts the bulk copies of one part's weights, by one thread. The last group repeats the last tile.
template <class W> DEV void copy_weights(const W& w, u8* stage, int group, int part, u64* full) {
  barrier_expect(full, GROUP_TILES * (Stage<W>::CODES + Stage<W>::EXTRA));
  for (int i = 0; i < GROUP_TILES; i++) {
    const int wanted = group * GROUP_TILES + i, tile = wanted < TILES ? wanted : TILES - 1;
    const int block = part * STAGE_BLOCKS;
    bulk_copy_once(Stage<W>::codes(stage, i), Staged<W>::source(w, tile, block), Stage<W>::CODES, full);
    w.template bulk_extra<STAGE_BLOCKS>(Stage<W>::extra(stage, i), tile, block, full);
  }
}

// Starts the copies of one part's activations, by a warp. Tokens beyond the end are zeros.
DEV void copy_x(u8* stage, const XValue* x, int part, int first_token, int tokens, int lane) {
  for (int i = lane; i < STAGE_BLOCKS * TOKENS * 8; i += 32) {
    const int block = i / (TOKENS * 8), token = i / 8 % TOKENS, chunk = i % 8;
    const bool valid = first_token + token < tokens;
    const int column = (part * STAGE_BLOCKS + block) * BLOCK_COLS + chunk * (16 / (int)sizeof(XValue));
    const XValue* from = x + (valid ? (size_t)(first_token + token) * COLS + column : 0);
    copy16(smem(stage + block * X_BYTES) + token * 128 + (chunk ^ token % 8) * 16, from, valid);
  }
  copy_commit();
}

// Brings in the parts begin..end.
template <class W>
DEV void produce(const W& w, const XValue* x, u8* stages, const Ring& ring, int begin, int end, int first_token,
                 int tokens, int lane) {
  const auto publish = [&](int iter) {
    fence_async();
    barrier_arrive(ring.full + stage_of(iter));
  };
  const auto weights_of = [&](int iter) {
    const int part = begin + iter;
    u8* stage = stages + stage_of(iter) * Stage<W>::BYTES;
    if (lane == 0) copy_weights(w, stage, part / PARTS, part % PARTS, ring.full + stage_of(iter));
  };
  // Weights do not depend on the launch before this one, which may still be running.
  const int ahead = end - begin < STAGES ? end - begin : STAGES;
  for (int iter = 0; iter < ahead; iter++) weights_of(iter);
  grid_wait();
  grid_launch();
  for (int iter = 0; iter < end - begin; iter++) {
    const int part = begin + iter;
    u8* stage = stages + stage_of(iter) * Stage<W>::BYTES;
    if (iter >= STAGES) {
      barrier_wait(ring.empty + stage_of(iter), parity_of(iter) ^ 1);
      weights_of(iter);
    }
    copy_x(stage, x, part % PARTS, first_token, tokens, lane);
    copy_wait<LAG>();
    if (iter >= LAG) publish(iter - LAG);
  }
  copy_wait<0>();
  for (int iter = end - begin > LAG ? end - begin - LAG : 0; iter < end - begin; iter++) publish(iter);
}

// Adds a warp's products of one block of columns.
template <class W>
DEV void add_block(float (&sums)[SUMS], const u8* codes, const typename W::Block& known, u32 x, int lane) {
  u32 words[Staged<W>::WORDS];
  u32 a[STEPS][4];
  Staged<W>::words(words, codes, lane);
#pragma unroll
  for (int step = 0; step < STEPS; step++) W::decode(a[step], words + step * Staged<W>::STEP_WORDS, known);
  float part[W::BLOCK_SCALED ? SUMS : 1];
  wgmma_fence();
#pragma unroll
  for (int step = 0; step < STEPS; step++) {
    const u64 b = wgmma_rows(x + step * 32);
    if constexpr (W::BLOCK_SCALED)
      multiply(part, a[step], b, step > 0);
    else
      multiply(sums, a[step], b, 1);
  }
  wgmma_commit();
  wgmma_wait<0>();
  if constexpr (W::BLOCK_SCALED)
#pragma unroll
    for (int i = 0; i < SUMS; i++) sums[i] += part[i] * known.scale[i / 2 % 2];
}

// Multiplies the parts begin..end of a warp's tile and writes what is whole.
template <class W>
DEV void consume(const W& w, const Output& out, int tokens, const Workspace& workspace, const WorkRange& range, u8* stages,
                 const u8* table, const Ring& ring, u32* flag) {
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int begin = range.begin(blockIdx.x), end = range.end(blockIdx.x);
  float sums[SUMS] = {};
  grid_wait();
  grid_launch();
  for (int i = begin; i < end; i++) {
    const int iter = i - begin, group = i / PARTS, tile = group * GROUP_TILES + warp;
    u8* stage = stages + stage_of(iter) * Stage<W>::BYTES;
    barrier_wait(ring.full + stage_of(iter), parity_of(iter));
#pragma unroll
    for (int j = 0; j < STAGE_BLOCKS; j++) {
      const int block = i % PARTS * STAGE_BLOCKS + j;
      const u8* extra = w.template extra_of<STAGE_BLOCKS>(Stage<W>::extra(stage, warp), block);
      const auto known = w.block(extra, table, tile, block, lane);
      add_block<W>(sums, Stage<W>::codes(stage, warp) + j * Staged<W>::CODES, known, smem(stage + j * X_BYTES), lane);
    }
    barrier_arrive(ring.empty + stage_of(iter));
    if (i % PARTS != PARTS - 1 && i != end - 1) continue;

    const auto sync = [] { named_sync(1, CONSUMER_THREADS); };
    if (fixup<SUMS, CONSUMER_THREADS>(sums, workspace, range, group, thread, flag, sync))
      write_tile(w, sums, out, tile, blockIdx.y * TOKENS, tokens, lane);
#pragma unroll
    for (int j = 0; j < SUMS; j++) sums[j] = 0;
  }
}

template <class W>
DEV void linear_wgmma(const W& w, const XValue* x, const Output& out, int tokens, const Workspace& workspace) {
  SHARED(shared);
  u8* table = shared + STAGES * Stage<W>::BYTES;
  u64* barriers = (u64*)(table + W::TABLE);
  const Ring ring = {barriers, barriers + STAGES};
  u32* flag = (u32*)(barriers + 2 * STAGES);
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; i++) {
      barrier_init(ring.full + i, 1 + 32);  // the expected bytes, and the lanes that copy x
      barrier_init(ring.empty + i, CONSUMER_THREADS);
    }
    barrier_init_fence();
  }
  if (threadIdx.x < CONSUMER_THREADS) w.fill(table, threadIdx.x, CONSUMER_THREADS);
  block_sync();
  const WorkRange range(GROUPS, PARTS);
  if (threadIdx.x >= CONSUMER_THREADS) {
    const int begin = range.begin(blockIdx.x), end = range.end(blockIdx.x);
    produce(w, x, shared, ring, begin, end, blockIdx.y * TOKENS, tokens, threadIdx.x % 32);
  } else {
    consume(w, out, tokens, workspace, range, shared, table, ring, flag);
  }
}
