// What the device makes of numbers: for each x, WORDS words as listed below. One thread for each.
#include "dev.cuh"

constexpr int WORDS = 14;

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
      bits_of(from_f16((u16)i)),
      bits_of(from_bf16((u16)i)),
      pair,
      pack_bf16x2(v, other),
      add_f16x2(pair, swapped),
      fma_f16x2(pair, swapped, 0x3c00bc00),
      to_e4m3(v) | (u32)bits_of(from_e4m3((u8)(i % 127))) << 8,
      e4m3x2_to_f16x2((u16)(i % 127 | (i * 3 % 127 | 128) << 8)),
      byte_permute(pair, swapped, (u32)i * 0x9e3779b9 & 0x7777),
      (u32)(i32)(float)round_even(v * 4.0f),
      to_e4m3_by_bits(v),
      e4m3x2_to_f16x2_by_bits((u16)(i % 127 | (i * 3 % 127 | 128) << 8)),
      // Not exact on the device.
      pack_f16x2(exp2_approx(v), rsqrt_approx(v * v + 1.0f) + sine + cosine),
  };
  for (int word = 0; word < WORDS; word++) out[i * WORDS + word] = words[word];
}
