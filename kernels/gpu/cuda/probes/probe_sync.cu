// Two pairs of warps, each pair with a barrier of its own, then the block: sums of every thread's left and right neighbour
// within its pair, in the order of the threads ^ 31 of each block, and added up over all blocks. 128 threads.
#include "dev.cuh"

KERNEL(128)
probe_sync(const i32* x, i32* out, i32* total, float* float_total) {
  SHARED(shared);
  i32* values = (i32*)shared;
  const int thread = threadIdx.x, pair = thread / 64, i = thread % 64;
  values[thread] = x[thread];
  named_sync(1 + pair, 64);
  const i32 sum = values[pair * 64 + (i + 63) % 64] + values[pair * 64 + (i + 1) % 64];
  block_sync();
  values[thread] = sum;
  warp_sync();
  out[blockIdx.x * 128 + thread] = values[thread ^ 31];
  atomic_add(total, sum);
  atomic_add(float_total, (float)sum);
}
