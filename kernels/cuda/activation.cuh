// Activations between kernels: f16, or bf16 with -DACT_BF16.
#pragma once
#include "dev.cuh"

#ifdef ACT_BF16
DEV u16 to_act(float x) { return to_bf16(x); }
DEV float from_act(u16 x) { return from_bf16(x); }
DEV u32 pack_act(float low, float high) { return pack_bf16x2(low, high); }
#else
DEV u16 to_act(float x) { return to_f16(x); }
DEV float from_act(u16 x) { return from_f16(x); }
DEV u32 pack_act(float low, float high) { return pack_f16x2(low, high); }
#endif

// Four neighbouring values, as f32.
DEV float4 load_act4(const u16* x) {
  const uint2 pairs = *(const uint2*)x;
  return {from_act((u16)pairs.x), from_act((u16)(pairs.x >> 16)), from_act((u16)pairs.y), from_act((u16)(pairs.y >> 16))};
}

DEV void store_act4(u16* x, float4 v) { *(uint2*)x = uint2{pack_act(v.x, v.y), pack_act(v.z, v.w)}; }
