// out[token] = x[token] / sqrt(mean(x[token]^2) + eps) * weight: x and weight f32, out as activations, or with -DOUT_FP8 as
// E4M3 with a scale for each token.
//
// One block for each token. Shared memory: a float for each warp; two with -DOUT_FP8.
#include "row_norm.cuh"

KERNEL(THREADS)
rms_norm(const float* x, const float* weight, Out* out, int tokens, float eps
#ifdef OUT_FP8
         , float* scales
#endif
) {
  SHARED(shared);
  const int token = blockIdx.x;
  if (token >= tokens) return;
  grid_wait();
  grid_launch();
  Row row;
#pragma unroll
  for (int turn = 0; turn < TURNS; turn++) {
    row[turn] = float4{0, 0, 0, 0};
    if (column_of(turn) < COLS) row[turn] = *(const float4*)(x + (size_t)token * COLS + column_of(turn));
  }
  norm(row, weight, eps, (float*)shared);
#ifdef OUT_FP8
  write_row(row, out + (size_t)token * COLS, scales + token, (float*)shared + THREADS / 32);
#else
  write_row(row, out + (size_t)token * COLS);
#endif
}
