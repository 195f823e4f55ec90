// What the device makes of numbers: for each x, WORDS words as listed below. One thread for each.
#include "dev.cuh"

constexpr int WORDS = 9;

KERNEL(128)
probe_numbers(const float* x, u32* out, int count) {
  const int i = blockIdx.x * 128 + threadIdx.x;
  if (i >= count) return;
  const float v = x[i], other = x[(i + 1) % count];
  float sine, cosine;
  sincos_half_turns(v, &sine, &cosine);
  const u32 pair = pack_f16x2(v, other), swapped = pack_f16x2(other, v);
  const u32 words[WORDS] = {
      to_f16(v) | (u32)to_bf16(v) << 16,
      pair,
      pack_bf16x2(v, other),
      add_f16x2(pair, swapped),
      fma_f16x2(pair, swapped, 0x3c00bc00),
      to_e4m3(v) | (u32)to_e4m3_by_bits(v) << 8,
      byte_permute(pair, swapped, (u32)i * 0x9e3779b9 & 0x7777),
      (u32)(i32)(float)round_even(v * 4.0f),
      // Not exact on the device.
      pack_f16x2(exp2_approx(v), rsqrt_approx(v * v + 1.0f) + sine + cosine),
  };
  for (int word = 0; word < WORDS; word++) out[i * WORDS + word] = words[word];
}
