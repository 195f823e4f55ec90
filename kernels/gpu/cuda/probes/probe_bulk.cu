// out = x for `turns` pieces of 1024 bytes, brought in by bulk copies and counted by one barrier, phase after phase.
// 64 threads. Shared memory: 1032 bytes.
#include "dev.cuh"

constexpr int BYTES = 1024;

KERNEL(64)
probe_bulk(const u8* x, u8* out, int turns) {
  SHARED(shared);
  u64* barrier = (u64*)(shared + BYTES);
  const int thread = threadIdx.x;
  if (thread == 0) {
    barrier_init(barrier, 1);
    barrier_init_fence();
  }
  block_sync();
  for (int turn = 0; turn < turns; turn++) {
    const u8* from = x + (size_t)turn * BYTES;
    if (thread == 0) {
      barrier_expect(barrier, BYTES);
      bulk_copy(shared, from, BYTES / 4, barrier);
      bulk_copy_once(shared + BYTES / 4, from + BYTES / 4, BYTES - BYTES / 4, barrier);
    }
    barrier_wait(barrier, turn % 2);
    *(uint4*)(out + (size_t)turn * BYTES + thread * 16) = *(const uint4*)(shared + thread * 16);
    block_sync();
  }
}
