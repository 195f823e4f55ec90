// Attention of each token over the cached positions of its sequence, its own among them; for one token per sequence.
//
// q and out: [tokens][HEADS][HEAD_DIM], activations. gridDim.x counts splits of the positions, gridDim.y tiles of up to 16
// query heads of one KV head, gridDim.z tokens. A block's WARPS warps take 16 positions in turn; the last block of a token
// and tile to arrive adds all splits, in their order, so that the same launch always gives the same bits.
// Workspace: `parts` of gridDim.z * gridDim.y * gridDim.x * TILE_HEADS * (HEAD_DIM + 2) floats, and `arrived`, a zero for
// each token and tile, left zero. Shared memory: (WARPS * TILE_HEADS * (HEAD_DIM + 2) + 1) * 4 bytes.
#include "attention.cuh"

#ifndef WARPS
#define WARPS 4
#endif
constexpr int THREADS = WARPS * 32;
constexpr int TILE_HEADS = least(GROUP_HEADS, 16);
constexpr int HEAD_TILES = (GROUP_HEADS + TILE_HEADS - 1) / TILE_HEADS;
// A part: for each head its sums, then for each its greatest score and its weight.
constexpr int PART = TILE_HEADS * (HEAD_DIM + 2);

// Writes a warp's rows as a part in shared memory.
DEV void write_part(float* part, const Attended& attended, int lane) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int head = lane / 4 + i * 8;
    if (head >= TILE_HEADS) continue;
#pragma unroll
    for (int tile = 0; tile < COLUMN_TILES; tile++) {
#pragma unroll
      for (int side = 0; side < 2; side++) {
        part[head * HEAD_DIM + out_channel(tile, side, lane)] = attended.sums[tile][i * 2 + side];
      }
    }
    if (lane % 4 == 0) {
      part[TILE_HEADS * HEAD_DIM + head * 2] = attended.most[i];
      part[TILE_HEADS * HEAD_DIM + head * 2 + 1] = attended.weight[i];
    }
  }
}

// One channel of one head over several parts.
struct Merged {
  float most, weight, sum;

  template <class Load> DEV static Merged of(const float* parts, int count, int head, int channel, Load load) {
    const float* scores = parts + TILE_HEADS * HEAD_DIM + head * 2;
    Merged merged = {nothing(), 0, 0};
    for (int i = 0; i < count; i++) {
      const float score = load(scores + (size_t)i * PART);
      merged.most = score > merged.most ? score : merged.most;
    }
    const float base = merged.most == nothing() ? 0.0f : merged.most;
    for (int i = 0; i < count; i++) {
      const float share = exp2_approx(load(scores + (size_t)i * PART) - base);
      merged.weight += share * load(scores + (size_t)i * PART + 1);
      merged.sum += share * load(parts + (size_t)i * PART + head * HEAD_DIM + channel);
    }
    return merged;
  }
};

// This block's positions: whole groups of 16, the same number for each split but the last.
struct Split {
  int first_group, last_group, splits;

  DEV Split(int first, int last) {
    const int begin = first / GROUP_POSITIONS, groups = last / GROUP_POSITIONS + 1 - begin;
    const int even = (groups + gridDim.x - 1) / gridDim.x, share = even > WARPS ? even : WARPS;
    splits = (groups + share - 1) / share;
    first_group = begin + blockIdx.x * share;
    last_group = least(first_group + share, begin + groups);
  }
};

KERNEL(THREADS)
KERNEL_NAME(const u16* q, const Kv* pool, const i32* positions, const i32* sequences, const i32* page_table,
            int max_pages, u16* out, float key_scale, float value_scale, float* parts, u32* arrived, int tokens) {
  SHARED(shared);
  float* own_parts = (float*)shared;
  u32* flag = (u32*)(own_parts + WARPS * PART);
  grid_wait();
  grid_launch();
  const int token = blockIdx.z, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (token >= tokens) return;
  const int kv_head = blockIdx.y / HEAD_TILES, head = kv_head * GROUP_HEADS + blockIdx.y % HEAD_TILES * TILE_HEADS;
  const int heads = least(TILE_HEADS, (kv_head + 1) * GROUP_HEADS - head);
  const int last = positions[token], first = first_visible(last);
  const Split split(first, last);
  if ((int)blockIdx.x >= split.splits) return;

  const u16* query = q + ((size_t)token * HEADS + head) * HEAD_DIM;
  const int row = lane / 4;
  const u16* const rows[2] = {row < heads ? query + row * HEAD_DIM : nullptr,
                              row + 8 < heads ? query + (row + 8) * HEAD_DIM : nullptr};
  Queries queries;
  queries.load(rows, lane);
  Attended attended;
  attended.clear();
  const float scale = 1.44269504f * rsqrt_approx((float)HEAD_DIM) * key_scale;
  const Visible visible = {{first, first}, {last, last}};
  const Pages pages = {page_table, max_pages};
  for (int group = split.first_group + warp; group < split.last_group; group += WARPS) {
    Cached cached;
    cached.load(pool, pages, sequences[token], kv_head, group * GROUP_POSITIONS, last, lane);
    attended.attend(queries, cached, visible, group * GROUP_POSITIONS, scale, lane);
  }
  attended.finish();
  write_part(own_parts + warp * PART, attended, lane);
  block_sync();

  u16* result = out + ((size_t)token * HEADS + head) * HEAD_DIM;
  const auto from_shared = [](const float* p) { return *p; };
  const size_t slot = (size_t)token * gridDim.y + blockIdx.y;
  float* all_parts = parts + slot * gridDim.x * PART;
  for (int i = threadIdx.x; i < heads * HEAD_DIM; i += THREADS) {
    const Merged merged = Merged::of(own_parts, WARPS, i / HEAD_DIM, i % HEAD_DIM, from_shared);
    if (split.splits == 1) {
      result[i] = to_act(merged.sum * value_scale / merged.weight);
      continue;
    }
    float* part = all_parts + (size_t)blockIdx.x * PART;
    part[i] = merged.sum;
    if (i % HEAD_DIM == 0) {
      part[TILE_HEADS * HEAD_DIM + i / HEAD_DIM * 2] = merged.most;
      part[TILE_HEADS * HEAD_DIM + i / HEAD_DIM * 2 + 1] = merged.weight;
    }
  }
  if (split.splits == 1) return;

  block_sync();
  if (threadIdx.x == 0) {
    // One thread's fences serve all: the barrier before tells it of the others' parts, the one after tells them what it heard.
    fence_device();
    const bool is_last = atomic_add(arrived + slot, 1u) + 1 == (u32)split.splits;
    if (is_last) {
      fence_device();
      arrived[slot] = 0;
    }
    *flag = is_last;
  }
  block_sync();
  if (*flag == 0) return;
  const auto from_device = [](const float* p) { return load_fresh(p); };
  for (int i = threadIdx.x; i < heads * HEAD_DIM; i += THREADS) {
    const Merged merged = Merged::of(all_parts, split.splits, i / HEAD_DIM, i % HEAD_DIM, from_device);
    result[i] = to_act(merged.sum * value_scale / merged.weight);
  }
}
