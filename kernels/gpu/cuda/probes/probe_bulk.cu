// out = x for `iters` pieces of 1024 bytes, brought in by bulk copies and counted by one barrier, phase after phase.
// 64 threads. Shared memory: 1032 bytes.
#include "dev.cuh"

constexpr int BYTES = 1024;

KERNEL(64)
probe_bulk(const u8* x, u8* out, int iters) {
  SHARED(shared);
  u64* barrier = (u64*)(shared + BYTES);
  const int thread = threadIdx.x;
  if (thread == 0) {
    barrier_init(barrier, 1);
    barrier_init_fence();
  }
  block_sync();
  for (int iter = 0; iter < iters; iter++) {
    const u8* from = x + (size_t)iter * BYTES;
    if (thread == 0) {
      barrier_expect(barrier, BYTES);
      bulk_copy(shared, from, BYTES / 4, barrier);
      bulk_copy_once(shared + BYTES / 4, from + BYTES / 4, BYTES - BYTES / 4, barrier);
    }
    barrier_wait(barrier, iter % 2);
    *(uint4*)(out + (size_t)iter * BYTES + thread * 16) = *(const uint4*)(shared + thread * 16);
    block_sync();
  }
}
