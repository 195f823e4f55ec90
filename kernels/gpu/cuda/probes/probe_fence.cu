// out[64][16] = a[64][16] * b[16][16] transposed, f16 with f32 sums: b stored to shared memory by the threads that then
// multiply. 128 threads. Shared memory: 2048 bytes.
#include "dev.cuh"

KERNEL(128)
probe_fence(const u16* a, const u16* b, float* out) {
  SHARED(shared);
  const int thread = threadIdx.x, row = thread / 32 * 16 + thread % 32 / 4, pair = thread % 4 * 2;
  // Rows of 128 bytes, of which 32 are used: 16-byte chunk c of row r lies at chunk c ^ (r % 8).
  if (thread < 32) {
    const int to = thread / 2, chunk = thread % 2;
    *(uint4*)(shared + to * 128 + (chunk ^ to % 8) * 16) = *(const uint4*)(b + to * 16 + chunk * 8);
  }
  fence_async();
  block_sync();
  u32 left[4];
  for (int i = 0; i < 4; i++) left[i] = *(const u32*)(a + (row + i % 2 * 8) * 16 + pair + i / 2 * 8);
  float sums[8] = {};
  wgmma_fence();
  wgmma_64xNx16(sums, left, wgmma_rows(smem(shared)), 0);
  wgmma_commit();
  wgmma_wait<0>();
  for (int i = 0; i < 8; i++) out[(row + i / 2 % 2 * 8) * 16 + i / 4 * 8 + pair + i % 2] = sums[i];
}
