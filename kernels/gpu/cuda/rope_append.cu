// Rotates queries and keys by their position, writes queries to `q` and appends keys and values to the KV cache.
//
// qkv: [tokens][HEADS + 2 KV_HEADS][HEAD_DIM], activations, as is q. Channels i and i + ROTARY_DIM / 2 of a head rotate as a
// point in the plane, by `half_turns[i]` (angle / pi) for each position, and are multiplied by `rope_scale`; f64, so that far
// positions stay exact. Channels from ROTARY_DIM on stay as they are.
// gridDim.x counts tokens, gridDim.y groups of BLOCK_HEADS heads. Shared memory: HEAD_DIM floats.
#include "kv_cache.cuh"

#ifndef THREADS
#define THREADS 128
#endif
#ifndef BLOCK_HEADS
#define BLOCK_HEADS 8
#endif
#ifndef ROTARY_DIM
#define ROTARY_DIM HEAD_DIM
#endif
constexpr int HALF = ROTARY_DIM / 2;
// Eight channels of a head are an item: four and their partners, or neighbours that stay as they are.
constexpr int HEAD_ITEMS = HEAD_DIM / 8, TURNED_ITEMS = ROTARY_DIM / 8;
constexpr int ALL_HEADS = HEADS + 2 * KV_HEADS;
static_assert(HEAD_DIM % 8 == 0, "HEAD_DIM is a multiple of 8");
static_assert(ROTARY_DIM % 8 == 0 && ROTARY_DIM <= HEAD_DIM, "ROTARY_DIM is a multiple of 8 within a head");

// Cosines, then sines, of a position's channels.
DEV void fill_rotation(float* rotation, const double* half_turns, float rope_scale, int position) {
  for (int i = threadIdx.x; i < HALF; i += THREADS) {
    const double angle = position * half_turns[i];
    // Two half turns are none.
    const float rest = (float)(angle - 2.0 * round_even(angle * 0.5));
    float sine, cosine;
    sincos_half_turns(rest, &sine, &cosine);
    rotation[i] = cosine * rope_scale;
    rotation[HALF + i] = sine * rope_scale;
  }
}

DEV void store_kv4(Kv* to, float4 v, float scale) {
#ifdef KV_FP8
  const u32 low = to_e4m3(v.x / scale) | (u32)to_e4m3(v.y / scale) << 8;
  *(u32*)to = low | (u32)to_e4m3(v.z / scale) << 16 | (u32)to_e4m3(v.w / scale) << 24;
#else
  *(uint2*)to = uint2{pack_f16x2(v.x, v.y), pack_f16x2(v.z, v.w)};
#endif
}

// Rotates four channels of the first half and their partners.
DEV void rotate4(float4& a, float4& b, const float* rotation, int i) {
  const float4 c = *(const float4*)(rotation + i), s = *(const float4*)(rotation + HALF + i), first = a;
  a = {a.x * c.x - b.x * s.x, a.y * c.y - b.y * s.y, a.z * c.z - b.z * s.z, a.w * c.w - b.w * s.w};
  b = {b.x * c.x + first.x * s.x, b.y * c.y + first.y * s.y, b.z * c.z + first.z * s.z, b.w * c.w + first.w * s.w};
}

KERNEL(THREADS)
KERNEL_NAME(const u16* qkv, const double* half_turns, float rope_scale, const i32* positions, const i32* sequences, const i32* page_table,
            int max_pages, u16* q, Kv* pool, float key_scale, float value_scale, int tokens) {
  SHARED(shared);
  float* rotation = (float*)shared;
  const int token = blockIdx.x;
  if (token >= tokens) return;
  grid_wait();
  grid_launch();
  const int position = positions[token];
  const int page = Pages{page_table, max_pages}.of(sequences[token], position), slot = position % PAGE_TOKENS;
  fill_rotation(rotation, half_turns, rope_scale, position);
  block_sync();
  for (int item = threadIdx.x; item < BLOCK_HEADS * HEAD_ITEMS; item += THREADS) {
    const int head = blockIdx.y * BLOCK_HEADS + item / HEAD_ITEMS, part = item % HEAD_ITEMS;
    if (head >= ALL_HEADS) return;
    const bool turned = part < TURNED_ITEMS;
    const int i = turned ? part * 4 : part * 8, partner = turned ? HALF : 4;
    const u16* x = qkv + ((size_t)token * ALL_HEADS + head) * HEAD_DIM + i;
    float4 a = load_act4(x), b = load_act4(x + partner);
    if (turned && head < HEADS + KV_HEADS) rotate4(a, b, rotation, i);
    if (head < HEADS) {
      u16* to = q + ((size_t)token * HEADS + head) * HEAD_DIM + i;
      store_act4(to, a);
      store_act4(to + partner, b);
    } else {
      const int which = head < HEADS + KV_HEADS ? 0 : 1;
      Kv* to = pool + kv_at(page, which, head - HEADS - which * KV_HEADS, slot) + i;
      const float scale = which == 0 ? key_scale : value_scale;
      store_kv4(to, a, scale);
      store_kv4(to + partner, b, scale);
    }
  }
}
