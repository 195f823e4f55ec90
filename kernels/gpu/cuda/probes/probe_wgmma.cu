// out[64][COLUMNS] = a[64][depth] * b[rows][depth] transposed, f16 (-DBF16: bf16) with f32 sums: b through a ring in the 128-byte
// swizzle, a in registers; rows that b does not have are zeros. 128 threads compute, one more warp brings in b; depth is a multiple
// of 64. Shared memory: STAGES * (COLUMNS * 128 + 16) bytes.
#include "dev.cuh"

#ifdef BF16
#define MULTIPLY wgmma_64xNx16_bf16
#else
#define MULTIPLY wgmma_64xNx16
#endif
#ifndef COLUMNS
#define COLUMNS 64
#endif
constexpr int STAGES = 2, STAGE_BYTES = COLUMNS * 128;

// Stores 64 columns of b, by a warp: 16-byte chunk c of a row lies at chunk c ^ (row % 8).
DEV void store_columns(u8* to, const u16* b, int column, int depth, int rows, int lane) {
  for (int i = lane; i < COLUMNS * 8; i += 32) {
    const int row = i / 8, chunk = i % 8;
    uint4 values = {0, 0, 0, 0};
    if (row < rows) values = *(const uint4*)(b + (size_t)row * depth + column + chunk * 8);
    *(uint4*)(to + row * 128 + (chunk ^ row % 8) * 16) = values;
  }
  fence_async();
}

KERNEL(160)
probe_wgmma(const u16* a, const u16* b, float* out, int depth, int rows) {
  SHARED(shared);
  u64 *full = (u64*)(shared + STAGES * STAGE_BYTES), *empty = full + STAGES;
  const int thread = threadIdx.x;
  if (thread == 0) {
    for (int stage = 0; stage < STAGES; stage++) {
      barrier_init(full + stage, 1);
      barrier_init(empty + stage, 128);
    }
    barrier_init_fence();
  }
  block_sync();

  const int iters = depth / 64;
  if (thread >= 128) {
    for (int iter = 0; iter < iters; iter++) {
      const int stage = iter % STAGES;
      if (iter >= STAGES) barrier_wait(empty + stage, iter / STAGES % 2 ^ 1);
      store_columns(shared + stage * STAGE_BYTES, b, iter * 64, depth, rows, thread - 128);
      warp_sync();
      if (thread == 128) barrier_arrive(full + stage);
    }
    return;
  }
  float sums[COLUMNS / 2];
  for (int i = 0; i < COLUMNS / 2; i++) sums[i] = 0;
  const int row = thread / 32 * 16 + thread % 32 / 4, pair = thread % 4 * 2;
  for (int iter = 0; iter < iters; iter++) {
    const int stage = iter % STAGES;
    u32 left[4][4];
    for (int step = 0; step < 4; step++) {
      for (int i = 0; i < 4; i++) {
        const int column = iter * 64 + step * 16 + pair + i / 2 * 8;
        left[step][i] = *(const u32*)(a + (size_t)(row + i % 2 * 8) * depth + column);
      }
    }
    barrier_wait(full + stage, iter / STAGES % 2);
    wgmma_fence();
    for (int step = 0; step < 4; step++) {
      MULTIPLY(sums, left[step], wgmma_rows(smem(shared + stage * STAGE_BYTES + step * 32)), iter + step > 0);
    }
    wgmma_commit();
    wgmma_wait<0>();
    barrier_arrive(empty + stage);
  }
  for (int i = 0; i < COLUMNS / 2; i++) {
    out[(row + i / 2 % 2 * 8) * COLUMNS + i / 4 * 8 + pair + i % 2] = sums[i];
  }
}
