// What a warp exchanges: for each lane, WORDS words as listed below.
#include "dev.cuh"

constexpr int WORDS = 8;

KERNEL(32)
probe_warp(const u32* x, u32* out) {
  const int lane = threadIdx.x;
  const u32 v = x[lane];
  const u32 words[WORDS] = {
      shuffle(v, lane * 7),
      shuffle_xor(v, 5),
      shuffle_up(v, 3),
      shuffle_down(v, 9),
      ballot(v % 3 == 0),
      bits_of(shuffle_xor((float)lane, 16)),
      bits_of(shuffle_down((float)lane, 1)),
      bits_of(shuffle(shuffle_up((float)lane, 2), 31)),
  };
  for (int word = 0; word < WORDS; word++) out[lane * WORDS + word] = words[word];
}
