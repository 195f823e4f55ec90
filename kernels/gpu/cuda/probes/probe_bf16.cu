// out[i] = a[i] * b[i] + c[i], pairs of bf16, rounded once.
#include "dev.cuh"

KERNEL(128)
probe_bf16(const u32* a, const u32* b, const u32* c, u32* out, int count) {
  const int i = blockIdx.x * 128 + threadIdx.x;
  if (i < count) out[i] = fma_bf16x2(a[i], b[i], c[i]);
}
