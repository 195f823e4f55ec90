// out[64][COLUMNS] = a[64][depth] * b[COLUMNS][depth] transposed, f16 (-DBF16: bf16) with f32 sums: b through a ring of
// tensor copies with the 128-byte swizzle, a in registers. 128 threads compute, one more warp copies; depth is a multiple of
// 64. Shared memory: STAGES * (COLUMNS * 128 + 16) bytes.
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

KERNEL(160)
probe_wgmma(const u16* a, const __grid_constant__ TensorMap b, float* out, int depth) {
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

  const int turns = depth / 64;
  if (thread >= 128) {
    for (int turn = 0; thread == 128 && turn < turns; turn++) {
      const int stage = turn % STAGES;
      if (turn >= STAGES) barrier_wait(empty + stage, turn / STAGES % 2 ^ 1);
      barrier_expect(full + stage, STAGE_BYTES);
      tensor_copy(shared + stage * STAGE_BYTES, &b, turn * 64, 0, full + stage);
    }
    return;
  }
  float sums[COLUMNS / 2];
  for (int i = 0; i < COLUMNS / 2; i++) sums[i] = 0;
  const int row = thread / 32 * 16 + thread % 32 / 4, pair = thread % 4 * 2;
  for (int turn = 0; turn < turns; turn++) {
    const int stage = turn % STAGES;
    u32 left[4][4];
    for (int step = 0; step < 4; step++) {
      for (int i = 0; i < 4; i++) {
        const int column = turn * 64 + step * 16 + pair + i / 2 * 8;
        left[step][i] = *(const u32*)(a + (size_t)(row + i % 2 * 8) * depth + column);
      }
    }
    barrier_wait(full + stage, turn / STAGES % 2);
    wgmma_fence();
    for (int step = 0; step < 4; step++) {
      MULTIPLY(sums, left[step], wgmma_rows64(smem(shared + stage * STAGE_BYTES + step * 32)), turn + step > 0);
    }
    wgmma_commit();
    wgmma_wait<0>();
    barrier_arrive(empty + stage);
  }
  for (int i = 0; i < COLUMNS / 2; i++) {
    out[(row + i / 2 % 2 * 8) * COLUMNS + i / 4 * 8 + pair + i % 2] = sums[i];
  }
}
