// out[i] = x[rows[i]], f32. One block for each row of the result.
#include "dev.cuh"

#ifndef THREADS
#define THREADS 128
#endif
static_assert(COLS % 4 == 0, "COLS is a multiple of 4");

KERNEL(THREADS)
KERNEL_NAME(const float* x, const i32* rows, float* out, int count) {
  const int i = blockIdx.x;
  if (i >= count) return;
  grid_wait();
  grid_launch();
  const float* from = x + (size_t)rows[i] * COLS;
  for (int column = threadIdx.x * 4; column < COLS; column += THREADS * 4) {
    *(float4*)(out + (size_t)i * COLS + column) = *(const float4*)(from + column);
  }
}
