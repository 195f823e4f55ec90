// What the device makes of every 16 bits: for each pattern, WORDS words as listed below. One thread for each of 65,536.
#include "dev.cuh"

constexpr int WORDS = 7;

KERNEL(256)
probe_patterns(u32* out) {
  const u32 pattern = blockIdx.x * 256 + threadIdx.x;
  const u16 bits = (u16)pattern;
  // Every f16 and, as the upper half of an f32, every bf16.
  const float half = from_f16(bits), wide = float_of(pattern << 16);
  const u32 words[WORDS] = {
      bits_of(half),
      bits_of(from_bf16(bits)),
      to_f16(wide) | (u32)to_bf16(half) << 16,
      e4m3x2_to_f16x2(bits),
      e4m3x2_to_f16x2_by_bits(bits),
      bits_of(from_e4m3((u8)bits)),
      to_e4m3(half) | to_e4m3_by_bits(half) << 8 | to_e4m3(wide) << 16 | (u32)to_e4m3_by_bits(wide) << 24,
  };
  for (int word = 0; word < WORDS; word++) out[pattern * WORDS + word] = words[word];
}
