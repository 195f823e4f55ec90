// Host twins of what `dev.cuh` offers, and of the words of CUDA that kernels use. Everything that other threads can see
// goes through the runtime; plain loads and stores do so in checked builds (see instrument.cpp).
#pragma once
#include "api.h"
#include "numbers.h"

struct dim3 : uint3 {};
struct alignas(8) uint2 {
  u32 x, y;
};
struct alignas(16) uint4 {
  u32 x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

// Copied when the shared object is loaded.
extern samp_emu::Api samp_emu_runtime;

namespace samp_emu {

// The same for as long as a fiber lives, since it stays on its host thread.
[[gnu::const]] inline const View* view() { return samp_emu_runtime.view(); }

}  // namespace samp_emu

#define threadIdx (samp_emu::view()->thread.index)
#define blockIdx (samp_emu::view()->block)
#define blockDim (samp_emu::view()->block_size)
#define gridDim (samp_emu::view()->grid_size)
#define __restrict__ __restrict

#define DEV inline
#define KERNEL_OF_BLOCKS(threads, blocks) KERNEL(threads)
#define KERNEL(threads)                          \
  constexpr u64 samp_emu_max_threads = threads; \
  extern "C" void
#define DEV_TABLE static const
#define SHARED(name) u8* const name = samp_emu::view()->shared

// Names the line of the call in faults.
#define SAMP_SITE samp_emu::Site site = samp_emu::Site::here()

// ---- numbers ----

using samp_emu::bits_of;
using samp_emu::float_of;
using samp_emu::from_bf16;
using samp_emu::from_e4m3;
using samp_emu::from_f16;
using samp_emu::to_bf16;
using samp_emu::to_e4m3;
using samp_emu::to_f16;

DEV u64 bits_of(double x) {
  u64 bits;
  __builtin_memcpy(&bits, &x, 8);
  return bits;
}
DEV double double_of(u64 bits) {
  double x;
  __builtin_memcpy(&x, &bits, 8);
  return x;
}

// Compiled with -ffp-contract=off.
DEV double add_f64(double a, double b) { return a + b; }
DEV double mul_f64(double a, double b) { return a * b; }
DEV double log_f64(double x) { return __builtin_log(x); }

DEV u64 mul_high(u64 a, u64 b) { return (u64)((unsigned __int128)a * b >> 64); }

DEV u32 pack_f16x2(float low, float high) { return to_f16(low) | (u32)to_f16(high) << 16; }
DEV u32 pack_bf16x2(float low, float high) { return to_bf16(low) | (u32)to_bf16(high) << 16; }

DEV u32 add_f16x2(u32 a, u32 b) {
  return pack_f16x2(from_f16((u16)a) + from_f16((u16)b), from_f16((u16)(a >> 16)) + from_f16((u16)(b >> 16)));
}

// The product and sum of f16 values are exact in f64 but for one rounding, which f16's precision hides.
DEV u16 samp_emu_fma_f16(u16 a, u16 b, u16 c) {
  return to_f16((float)((double)from_f16(a) * from_f16(b) + from_f16(c)));
}
DEV u32 fma_f16x2(u32 a, u32 b, u32 c) {
  const u16 high = samp_emu_fma_f16((u16)(a >> 16), (u16)(b >> 16), (u16)(c >> 16));
  return samp_emu_fma_f16((u16)a, (u16)b, (u16)c) | (u32)high << 16;
}

// To f32 so that another rounding gives what one would have given: what is cut off leaves the last bit set.
DEV float samp_emu_to_odd(double x) {
  const float nearest = (float)x;
  if ((double)nearest == x || nearest != nearest) return nearest;
  const bool beyond = __builtin_fabs((double)nearest) > __builtin_fabs(x);
  return float_of((bits_of(nearest) - (beyond ? 1 : 0)) | 1);
}
DEV u16 samp_emu_fma_bf16(u16 a, u16 b, u16 c) {
  return to_bf16(samp_emu_to_odd((double)from_bf16(a) * from_bf16(b) + from_bf16(c)));
}
DEV u32 fma_bf16x2(u32 a, u32 b, u32 c) {
  const u16 high = samp_emu_fma_bf16((u16)(a >> 16), (u16)(b >> 16), (u16)(c >> 16));
  return samp_emu_fma_bf16((u16)a, (u16)b, (u16)c) | (u32)high << 16;
}

DEV u32 byte_permute(u32 a, u32 b, u32 selector) {
  const u64 bytes = a | (u64)b << 32;
  u32 result = 0;
  for (int i = 0; i < 4; i++) result |= (u32)(bytes >> (selector >> i * 4 & 7) * 8 & 0xff) << i * 8;
  return result;
}

DEV u32 e4m3x2_to_f16x2(u16 codes) { return pack_f16x2(from_e4m3((u8)codes), from_e4m3((u8)(codes >> 8))); }

DEV float exp2_approx(float x) { return __builtin_exp2f(x); }
DEV float rsqrt_approx(float x) { return 1.0f / __builtin_sqrtf(x); }
DEV double round_even(double x) { return __builtin_rint(x); }

DEV void sincos_half_turns(float x, float* sine, float* cosine) {
  const double angle = 3.14159265358979323846 * x;
  *sine = (float)__builtin_sin(angle);
  *cosine = (float)__builtin_cos(angle);
}

// ---- memory ----

DEV u32 smem(const void* p, SAMP_SITE) { return samp_emu_runtime.shared_address(p, site); }

DEV uint4 load_once(const void* p) { return *(const uint4*)p; }
DEV float load_fresh(const float* p) { return *p; }
DEV void fence_device() { samp_emu_runtime.fence_device(); }

DEV u32 atomic_add(u32* p, u32 x, SAMP_SITE) { return samp_emu_runtime.atomic_add_u32(p, x, site); }
DEV i32 atomic_add(i32* p, i32 x, SAMP_SITE) { return (i32)samp_emu_runtime.atomic_add_u32((u32*)p, (u32)x, site); }
DEV float atomic_add(float* p, float x, SAMP_SITE) { return samp_emu_runtime.atomic_add_f32(p, x, site); }

DEV void copy16(u32 to, const void* from, bool valid = true, SAMP_SITE) {
  samp_emu_runtime.copy16(to, from, valid, site);
}
DEV void copy16_once(u32 to, const void* from, SAMP_SITE) { samp_emu_runtime.copy16(to, from, true, site); }
DEV void copy_commit() { samp_emu_runtime.copy_commit(); }
template <int N> DEV void copy_wait() { samp_emu_runtime.copy_wait(N); }

// ---- threads ----

DEV void block_sync(SAMP_SITE) { samp_emu_runtime.block_barrier(0, 0, site); }
DEV void named_sync(int id, int threads, SAMP_SITE) { samp_emu_runtime.block_barrier(id, threads, site); }
DEV void warp_sync(SAMP_SITE) { samp_emu_runtime.warp_barrier(site); }

DEV u32 ballot(bool vote, SAMP_SITE) { return samp_emu_runtime.ballot(vote, site); }
DEV u32 shuffle(u32 x, int lane, SAMP_SITE) { return samp_emu_runtime.shuffle(x, lane, site); }
DEV float shuffle(float x, int lane, SAMP_SITE) { return float_of(shuffle(bits_of(x), lane, site)); }
DEV u32 shuffle_xor(u32 x, int mask, SAMP_SITE) { return shuffle(x, samp_emu::view()->thread.lane ^ mask, site); }
DEV float shuffle_xor(float x, int mask, SAMP_SITE) { return float_of(shuffle_xor(bits_of(x), mask, site)); }

DEV u64 shuffle_xor(u64 x, int mask, SAMP_SITE) {
  const u32 low = shuffle_xor((u32)x, mask, site);
  return low | (u64)shuffle_xor((u32)(x >> 32), mask, site) << 32;
}

// Beyond the warp's last lane each keeps its own.
DEV u32 shuffle_down(u32 x, int distance, SAMP_SITE) {
  const int lane = samp_emu::view()->thread.lane;
  return shuffle(x, lane + distance < 32 ? lane + distance : lane, site);
}
DEV float shuffle_down(float x, int distance, SAMP_SITE) { return float_of(shuffle_down(bits_of(x), distance, site)); }

DEV u32 shuffle_up(u32 x, int distance, SAMP_SITE) {
  const int lane = samp_emu::view()->thread.lane;
  return shuffle(x, lane >= distance ? lane - distance : lane, site);
}
DEV float shuffle_up(float x, int distance, SAMP_SITE) { return float_of(shuffle_up(bits_of(x), distance, site)); }
DEV u64 shuffle_up(u64 x, int distance, SAMP_SITE) {
  const u32 low = shuffle_up((u32)x, distance, site);
  return low | (u64)shuffle_up((u32)(x >> 32), distance, site) << 32;
}

// Launches run one after another; a checked one says what would not be safe if they overlapped.
DEV void grid_wait() { samp_emu_runtime.grid_wait(); }
DEV void grid_launch() {}

#include "emulate_matrix.h"
