// out[i] = random bits, the same for the same i and seed, of which those of `keep` are kept and those of `set` are set.
#include "dev.cuh"

KERNEL(256)
fill(u32* out, int words, int keep, int set, int seed) {
  for (size_t i = (size_t)blockIdx.x * 256 + threadIdx.x; i < words; i += (size_t)gridDim.x * 256) {
    u32 x = (u32)i * 0x9e3779b9u + (u32)seed;
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    out[i] = ((x ^ x >> 16) & (u32)keep) | (u32)set;
  }
}
