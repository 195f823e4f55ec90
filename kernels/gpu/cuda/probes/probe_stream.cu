// out = x, of which nothing is read twice: of every 2048 bytes the first half by loads, the other by asynchronous copies, each chunk
// written by the thread after the one that copied it. A block of 64 threads for each. Shared memory: 1024 bytes.
#include "dev.cuh"

constexpr int CHUNKS = 64;

KERNEL(CHUNKS)
probe_stream(const uint4* x, uint4* out) {
  SHARED(shared);
  const int thread = threadIdx.x, next = (thread + 1) % CHUNKS;
  const size_t first = (size_t)blockIdx.x * 2 * CHUNKS, second = first + CHUNKS;
  copy16_once(smem(shared + thread * 16), x + second + thread);
  copy_commit();
  out[first + thread] = load_once(x + first + thread);
  copy_wait<0>();
  block_sync();
  out[second + next] = *(const uint4*)(shared + next * 16);
}
