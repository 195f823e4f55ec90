// What the device makes of numbers of 64 bits: for each lane, WORDS words as listed below. One warp; x is finite and positive.
#include "dev.cuh"

constexpr int WORDS = 8;

KERNEL(32)
probe_wide(const u64* x, u64* out) {
  const int lane = threadIdx.x;
  const u64 v = x[lane], other = shuffle_xor(v, 11);
  const double a = double_of(v), b = double_of(other);
  const u64 words[WORDS] = {
      other,
      shuffle_up(v, 5),
      mul_high(v, ~other),
      bits_of(add_f64(a, -b)),
      // Fused, the product would keep more places.
      bits_of(add_f64(mul_f64(a, b), -1.0)),
      bits_of(a / b),
      (u64)(a * 4096.0),
      // Not exact on the device.
      bits_of(log_f64(a)),
  };
  for (int word = 0; word < WORDS; word++) out[lane * WORDS + word] = words[word];
}
