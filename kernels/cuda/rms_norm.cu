// out[token] = x[token] / sqrt(mean(x[token]^2) + eps) * weight: x and weight f32, out as activations.
//
// One block for each token. Shared memory: a float for each warp.
#include "row_norm.cuh"

KERNEL(THREADS)
rms_norm(const float* x, const float* weight, u16* out, int tokens, float eps) {
  SHARED(shared);
  const int token = blockIdx.x;
  if (token >= tokens) return;
  grid_wait();
  grid_launch();
  float4 row[TURNS];
#pragma unroll
  for (int turn = 0; turn < TURNS; turn++) {
    const int column = (turn * THREADS + threadIdx.x) * 4;
    row[turn] = column < COLS ? *(const float4*)(x + (size_t)token * COLS + column) : float4{0, 0, 0, 0};
  }
  write_normed(row, weight, out + (size_t)token * COLS, eps, (float*)shared);
}
