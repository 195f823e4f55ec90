// out = x, of `chunks` chunks of 16 bytes: what memory can be read and written at.
#include "dev.cuh"

constexpr int EACH = 4;  // chunks that a thread has on the way

KERNEL(256)
copy(const uint4* x, uint4* out, int chunks) {
  const size_t stride = (size_t)gridDim.x * 256;
  for (size_t first = (size_t)blockIdx.x * 256 + threadIdx.x; first < chunks; first += stride * EACH) {
    uint4 held[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++)
      if (first + i * stride < chunks) held[i] = load_once(x + first + i * stride);
#pragma unroll
    for (int i = 0; i < EACH; i++)
      if (first + i * stride < chunks) out[first + i * stride] = held[i];
  }
}
