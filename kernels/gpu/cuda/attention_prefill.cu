// Causal attention of many tokens of each sequence over its cached positions, its own among them.
//
// q and out: [tokens][HEADS][HEAD_DIM], activations. starts: [sequence_count + 1], the first token of each sequence of the
// step. gridDim.x counts tiles of TILE_TOKENS tokens of one sequence each, at most tokens / TILE_TOKENS + sequences;
// gridDim.y counts KV heads. A warp has 16 rows of the tile: TILE_TOKENS tokens of GROUP_HEADS heads. No shared memory.
#include "attention.cuh"

#ifndef WARPS
#define WARPS 4
#endif
constexpr int THREADS = WARPS * 32;
constexpr int TILE_TOKENS = WARPS * 16 / GROUP_HEADS;
static_assert(TILE_TOKENS > 0, "a block has rows for all heads of a token");

// Where a tile's tokens lie.
struct Tile {
  int sequence, first, tokens;

  // Tiles of one sequence after another; tiles late in a sequence, which take longest, come first.
  DEV static Tile of(int number, const i32* starts, int sequences) {
    for (int sequence = 0; sequence < sequences; sequence++) {
      const int tokens = starts[sequence + 1] - starts[sequence], tiles = (tokens + TILE_TOKENS - 1) / TILE_TOKENS;
      if (number < tiles) {
        const int first = (tiles - 1 - number) * TILE_TOKENS;
        return {sequence, starts[sequence] + first, least(TILE_TOKENS, tokens - first)};
      }
      number -= tiles;
    }
    return {0, 0, 0};
  }
};

KERNEL(THREADS)
KERNEL_NAME(const u16* q, const Kv* pool, const i32* positions, const i32* starts, int sequence_count,
            const i32* page_table, int max_pages, u16* out, float key_scale, float value_scale) {
  grid_wait();
  grid_launch();
  const Tile tile = Tile::of(blockIdx.x, starts, sequence_count);
  const int lane = threadIdx.x % 32, kv_head = blockIdx.y;
  const int rows = tile.tokens * GROUP_HEADS, first_row = threadIdx.x / 32 * 16;
  if (first_row >= rows) return;

  // Rows beyond the last see what the last sees.
  Visible visible;
  const u16* query_rows[2];
  size_t at[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = least(first_row + lane / 4 + i * 8, rows - 1), token = tile.first + row / GROUP_HEADS;
    visible.last[i] = positions[token];
    visible.first[i] = first_visible(visible.last[i]);
    at[i] = ((size_t)token * HEADS + kv_head * GROUP_HEADS + row % GROUP_HEADS) * HEAD_DIM;
    query_rows[i] = q + at[i];
  }
  const int last = positions[tile.first + (least(first_row + 16, rows) - 1) / GROUP_HEADS];
  const int begin = first_visible(positions[tile.first + first_row / GROUP_HEADS]);

  Queries queries;
  queries.load(query_rows, lane);
  Attended attended;
  attended.clear();
  const float scale = 1.44269504f * rsqrt_approx((float)HEAD_DIM) * key_scale;
  const Pages pages = {page_table, max_pages};
  for (int first = begin / GROUP_POSITIONS * GROUP_POSITIONS; first <= last; first += GROUP_POSITIONS) {
    Cached cached;
    cached.load(pool, pages, tile.sequence, kv_head, first, last, lane);
    attended.attend(queries, cached, visible, first, scale, lane);
  }
  attended.finish();

#pragma unroll
  for (int i = 0; i < 2; i++) {
    if (first_row + lane / 4 + i * 8 >= rows) continue;
    const float factor = value_scale / attended.weight[i];
#pragma unroll
    for (int column = 0; column < COLUMN_TILES; column += 2) {
#pragma unroll
      for (int side = 0; side < 2; side++) {
        const float low = attended.sums[column][i * 2 + side], high = attended.sums[column + 1][i * 2 + side];
        *(u32*)(out + at[i] + out_channel(column, side, lane)) = pack_act(low * factor, high * factor);
      }
    }
  }
}
