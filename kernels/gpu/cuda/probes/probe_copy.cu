// out = x, by 16-byte chunks that come through a ring of three stages, each chunk read by the thread after the one that
// copied it; chunks from `valid` on are zero. 64 threads, `iters` stages' worth. Shared memory: 3072 bytes.
#include "dev.cuh"

constexpr int STAGES = 3, CHUNKS = 64;

KERNEL(CHUNKS)
probe_copy(const u8* x, u8* out, int iters, int valid) {
  SHARED(shared);
  const int thread = threadIdx.x;
  const auto issue = [&](int iter) {
    const int chunk = iter * CHUNKS + thread;
    if (iter < iters) {
      copy16(smem(shared + (iter % STAGES * CHUNKS + thread) * 16), x + (size_t)chunk * 16, chunk < valid);
    }
    copy_commit();
  };
  for (int iter = 0; iter < STAGES - 1; iter++) issue(iter);
  for (int iter = 0; iter < iters; iter++) {
    copy_wait<STAGES - 2>();
    block_sync();
    // Everyone is done with the stage of the iteration before.
    issue(iter + STAGES - 1);
    const int next = (thread + 1) % CHUNKS;
    const uint4 chunk = *(const uint4*)(shared + (iter % STAGES * CHUNKS + next) * 16);
    *(uint4*)(out + ((size_t)iter * CHUNKS + next) * 16) = chunk;
  }
}
