// out[64][COLUMNS] = a[64][128] * b[COLUMNS][128] transposed, of E4M3 with f32 sums: b stored to shared memory in the 128-byte
// swizzle by the threads that then multiply, a in registers. 128 threads. Shared memory: COLUMNS * 128 bytes.
#include "dev.cuh"

#ifndef COLUMNS
#define COLUMNS 64
#endif
constexpr int DEPTH = 128;

KERNEL(128)
probe_wgmma_fp8(const u8* a, const u8* b, float* out) {
  SHARED(shared);
  const int thread = threadIdx.x, row = thread / 32 * 16 + thread % 32 / 4, lane = thread % 4;
  // 16-byte chunk c of row r lies at chunk c ^ (r % 8).
  for (int i = thread; i < COLUMNS * 8; i += 128) {
    *(uint4*)(shared + i / 8 * 128 + (i % 8 ^ i / 8 % 8) * 16) = *(const uint4*)(b + i * 16);
  }
  fence_async();
  block_sync();
  u32 left[4][4];
  for (int step = 0; step < 4; step++) {
    for (int i = 0; i < 4; i++) {
      left[step][i] = *(const u32*)(a + (row + i % 2 * 8) * DEPTH + step * 32 + i / 2 * 16 + lane * 4);
    }
  }
  float sums[COLUMNS / 2];
  wgmma_fence();
  for (int step = 0; step < 4; step++) {
    wgmma_64xNx32_e4m3(sums, left[step], wgmma_rows(smem(shared + step * 32)), step > 0);
  }
  wgmma_commit();
  wgmma_wait<0>();
  for (int i = 0; i < COLUMNS / 2; i++) {
    out[(row + i / 2 % 2 * 8) * COLUMNS + i / 4 * 8 + lane * 2 + i % 2] = sums[i];
  }
}
