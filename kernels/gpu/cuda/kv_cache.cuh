// The KV cache of one layer: [pages][key, value][KV_HEADS][PAGE_TOKENS][HEAD_DIM], f16, or E4M3 times a scale (-DKV_FP8).
#pragma once
#include "activation.cuh"

#ifdef KV_FP8
typedef u8 Kv;
#else
typedef u16 Kv;
#endif

// Index of the first value of a key (`which` 0) or value (1).
DEV size_t kv_at(int page, int which, int head, int slot) {
  return ((((size_t)page * 2 + which) * KV_HEADS + head) * PAGE_TOKENS + slot) * HEAD_DIM;
}

// Where each sequence's positions lie.
struct Pages {
  const i32* table;  // [sequences][most]
  int most;

  DEV int of(int sequence, int position) const { return table[(size_t)sequence * most + position / PAGE_TOKENS]; }
};
