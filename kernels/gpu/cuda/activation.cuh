// Activations between kernels: f16, or bf16 with -DACT_BF16; and products with them on matrix units, of weights in the same
// format.
#pragma once
#include "dev.cuh"

#ifdef ACT_BF16
DEV u16 to_act(float x) { return to_bf16(x); }
DEV float from_act(u16 x) { return from_bf16(x); }
DEV u32 pack_act(float low, float high) { return pack_bf16x2(low, high); }
DEV void mma_act(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) { mma_16x8x16_bf16(d, a, b0, b1); }
template <int N> DEV void wgmma_act(float (&d)[N], const u32 (&a)[4], u64 b, int add) { wgmma_64xNx16_bf16(d, a, b, add); }
#else
DEV u16 to_act(float x) { return to_f16(x); }
DEV float from_act(u16 x) { return from_f16(x); }
DEV u32 pack_act(float low, float high) { return pack_f16x2(low, high); }
DEV void mma_act(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) { mma_16x8x16(d, a, b0, b1); }
template <int N> DEV void wgmma_act(float (&d)[N], const u32 (&a)[4], u64 b, int add) { wgmma_64xNx16(d, a, b, add); }
#endif

// Four neighbouring values, as f32.
DEV float4 load_act4(const u16* x) {
  const uint2 pairs = *(const uint2*)x;
  return {from_act((u16)pairs.x), from_act((u16)(pairs.x >> 16)), from_act((u16)pairs.y), from_act((u16)(pairs.y >> 16))};
}

DEV void store_act4(u16* x, float4 v) { *(uint2*)x = uint2{pack_act(v.x, v.y), pack_act(v.z, v.w)}; }
