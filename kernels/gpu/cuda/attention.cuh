// Attention of 16 query rows at a time over the paged KV cache, by one warp on matrix units. A row is a token and a query
// head; all rows of a tile share one KV head. Keys and values go from global memory straight into registers.
//
// Matrix units sum over channels in any order, so that a lane may name as channel 2t what suits its loads: it takes
// neighbouring channels, 16 bytes at a time. The same freedom orders the channels of the result (see `out_channel`).
//
// Scores are kept in powers of two: `scale` is log2(e) / sqrt(HEAD_DIM), times the keys' scale.
#pragma once
#include "kv_cache.cuh"

constexpr int GROUP_POSITIONS = 16;
constexpr int GROUP_HEADS = HEADS / KV_HEADS;
static_assert(PAGE_TOKENS % GROUP_POSITIONS == 0, "PAGE_TOKENS is a multiple of 16");
static_assert(HEAD_DIM % 32 == 0, "HEAD_DIM is a multiple of 32");
static_assert(HEADS % KV_HEADS == 0, "query heads share KV heads evenly");
#ifndef WINDOW
#define WINDOW 0
#endif

DEV constexpr int least(int a, int b) { return a < b ? a : b; }
// Neighbouring values that a lane loads at once: of a key, which four lanes share, and of a value, which eight share.
constexpr int KEY_RUN = least(16 / (int)sizeof(Kv), HEAD_DIM / 4), KEY_LOADS = HEAD_DIM / 4 / KEY_RUN;
constexpr int VALUE_RUN = least(16 / (int)sizeof(Kv), HEAD_DIM / 8), VALUE_LOADS = HEAD_DIM / 8 / VALUE_RUN;
constexpr int KEY_WORDS = HEAD_DIM / 4 * (int)sizeof(Kv) / 4;      // of a lane and key
constexpr int VALUE_WORDS = HEAD_DIM / 8 * (int)sizeof(Kv) / 4;    // of a lane and value
constexpr int STEPS = HEAD_DIM / 16, COLUMN_TILES = HEAD_DIM / 8;

// What has not been seen yet weighs nothing.
DEV float nothing() { return float_of(0xff800000); }

// `BYTES` (4, 8 or 16) from an address that is a multiple of them.
template <int BYTES> DEV void load_words(u32* words, const void* from) {
  if constexpr (BYTES == 16) {
    const uint4 v = *(const uint4*)from;
    words[0] = v.x, words[1] = v.y, words[2] = v.z, words[3] = v.w;
  } else if constexpr (BYTES == 8) {
    const uint2 v = *(const uint2*)from;
    words[0] = v.x, words[1] = v.y;
  } else {
    words[0] = *(const u32*)from;
  }
}

// Queries of 16 rows as the left operand: lane 4g + t holds rows g and g + 8.
struct Queries {
  u32 steps[STEPS][4];

  // `rows` are where the lane's two rows begin; null for a row that is not there.
  DEV void load(const u16* const (&rows)[2], int lane) {
#pragma unroll
    for (int pair = 0; pair < HEAD_DIM / 8; pair++) {
      // The channels of the lane's values 2 pair and 2 pair + 1.
      const int i = pair * 2, channel = i / KEY_RUN * (4 * KEY_RUN) + lane % 4 * KEY_RUN + i % KEY_RUN;
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const u32 bits = rows[half] ? *(const u32*)(rows[half] + channel) : 0;
#ifdef ACT_BF16
        steps[pair / 2][pair % 2 * 2 + half] = pack_f16x2(from_bf16((u16)bits), from_bf16((u16)(bits >> 16)));
#else
        steps[pair / 2][pair % 2 * 2 + half] = bits;
#endif
      }
    }
  }
};

// Keys and values of 16 positions as they lie in the cache: lane 4g + t has keys g and g + 8, and values 2t, 2t + 1,
// 2t + 8 and 2t + 9.
struct Cached {
  u32 keys[2][KEY_WORDS], values[4][VALUE_WORDS];

  // Positions after `last` are taken to be `last`, whose scores the caller masks.
  DEV void load(const Kv* pool, const Pages& pages, int sequence, int kv_head, int first, int last, int lane) {
    const int page = pages.of(sequence, first), slot = first % PAGE_TOKENS, most = last - first, g = lane / 4, t = lane % 4;
    const Kv* key = pool + kv_at(page, 0, kv_head, slot);
    const Kv* value = pool + kv_at(page, 1, kv_head, slot);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const Kv* from = key + least(g + i * 8, most) * HEAD_DIM + t * KEY_RUN;
#pragma unroll
      for (int load = 0; load < KEY_LOADS; load++) {
        load_words<KEY_RUN * sizeof(Kv)>(keys[i] + load * (KEY_WORDS / KEY_LOADS), from + load * 4 * KEY_RUN);
      }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const Kv* from = value + least(t * 2 + i % 2 + i / 2 * 8, most) * HEAD_DIM + g * VALUE_RUN;
#pragma unroll
      for (int load = 0; load < VALUE_LOADS; load++) {
        load_words<VALUE_RUN * sizeof(Kv)>(values[i] + load * (VALUE_WORDS / VALUE_LOADS), from + load * 8 * VALUE_RUN);
      }
    }
  }

  // The right operand of a step: channels of key g (+ 8) as `Queries` has them.
  DEV void key_operand(u32 (&b)[2], int which, int step) const {
#ifdef KV_FP8
    const u32 codes = keys[which][step];
    b[0] = e4m3x2_to_f16x2((u16)codes), b[1] = e4m3x2_to_f16x2((u16)(codes >> 16));
#else
    b[0] = keys[which][step * 2], b[1] = keys[which][step * 2 + 1];
#endif
  }

  // The right operand of a tile of 8 columns: the lane's value `tile` of four positions.
  DEV void value_operand(u32 (&b)[2], int tile) const {
#pragma unroll
    for (int pair = 0; pair < 2; pair++) {
#ifdef KV_FP8
      const u32 low = values[pair * 2][tile / 4], high = values[pair * 2 + 1][tile / 4];
      b[pair] = e4m3x2_to_f16x2((u16)byte_permute(low, high, tile % 4 | (tile % 4 + 4) << 4));
#else
      const u32 low = values[pair * 2][tile / 2], high = values[pair * 2 + 1][tile / 2];
      b[pair] = byte_permute(low, high, tile % 2 ? 0x7632 : 0x5410);
#endif
    }
  }
};

// Which positions the lane's two rows see: `first` to `last` of each.
struct Visible {
  int first[2], last[2];
};

// Softmax and weighted sum so far, of the lane's rows g and g + 8.
struct Attended {
  float most[2], weight[2], sums[COLUMN_TILES][4];

  DEV void clear() {
    most[0] = most[1] = nothing();
    weight[0] = weight[1] = 0;
#pragma unroll
    for (int tile = 0; tile < COLUMN_TILES; tile++) {
      sums[tile][0] = sums[tile][1] = sums[tile][2] = sums[tile][3] = 0;
    }
  }

  // Scores of 16 positions from `first`: [positions g.. of 8][row g, columns 2t and 2t + 1, then row g + 8].
  DEV static void score(float (&scores)[2][4], const Queries& queries, const Cached& cached, const Visible& visible,
                        int first, float scale, int lane) {
#pragma unroll
    for (int which = 0; which < 2; which++) {
      float products[4] = {0, 0, 0, 0};
#pragma unroll
      for (int step = 0; step < STEPS; step++) {
        u32 b[2];
        cached.key_operand(b, which, step);
        mma_16x8x16(products, queries.steps[step], b[0], b[1]);
      }
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int position = first + which * 8 + lane % 4 * 2 + i % 2, row = i / 2;
        const bool seen = visible.first[row] <= position && position <= visible.last[row];
        scores[which][i] = seen ? products[i] * scale : nothing();
      }
    }
  }

  // Raises the rows' maxima to these scores', shrinks what was summed, and turns scores into weights.
  DEV void rescale(float (&scores)[2][4]) {
#pragma unroll
    for (int row = 0; row < 2; row++) {
      float most_now = most[row];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float score = scores[i / 2][row * 2 + i % 2];
        most_now = score > most_now ? score : most_now;
      }
      for (int mask = 1; mask < 4; mask *= 2) {
        const float other = shuffle_xor(most_now, mask);
        most_now = other > most_now ? other : most_now;
      }
      // A row that has seen nothing yet keeps weights of 0.
      const float base = most_now == nothing() ? 0.0f : most_now;
      const float shrink = exp2_approx(most[row] - base);
      most[row] = most_now;
      weight[row] *= shrink;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float& score = scores[i / 2][row * 2 + i % 2];
        score = exp2_approx(score - base);
        weight[row] += score;
      }
#pragma unroll
      for (int tile = 0; tile < COLUMN_TILES; tile++) {
        sums[tile][row * 2] *= shrink, sums[tile][row * 2 + 1] *= shrink;
      }
    }
  }

  // Takes in 16 positions from `first`.
  DEV void attend(const Queries& queries, const Cached& cached, const Visible& visible, int first, float scale, int lane) {
    float scores[2][4];
    score(scores, queries, cached, visible, first, scale, lane);
    rescale(scores);
    // The scores' places in registers are those of a left operand.
    const u32 weights[4] = {pack_f16x2(scores[0][0], scores[0][1]), pack_f16x2(scores[0][2], scores[0][3]),
                            pack_f16x2(scores[1][0], scores[1][1]), pack_f16x2(scores[1][2], scores[1][3])};
#pragma unroll
    for (int tile = 0; tile < COLUMN_TILES; tile++) {
      u32 b[2];
      cached.value_operand(b, tile);
      mma_16x8x16(sums[tile], weights, b[0], b[1]);
    }
  }

  // Adds the four lanes' shares of each row's weight; once, at the end.
  DEV void finish() {
#pragma unroll
    for (int row = 0; row < 2; row++) {
      for (int mask = 1; mask < 4; mask *= 2) weight[row] += shuffle_xor(weight[row], mask);
    }
  }
};

// The channel of `sums[tile][i]`, i = 0 or 1 (2 or 3 are the same of row g + 8).
DEV int out_channel(int tile, int i, int lane) {
  return tile / VALUE_RUN * (8 * VALUE_RUN) + (lane % 4 * 2 + i % 2) * VALUE_RUN + tile % VALUE_RUN;
}

// The first position that a query at `position` sees.
DEV int first_visible(int position) { return WINDOW != 0 && position >= WINDOW ? position + 1 - WINDOW : 0; }
