// sum[token] = x[token] + residual[token]; out[token] = rms_norm(sum[token]): x and out as activations, the rest f32.
//
// One block for each token. Shared memory: a float for each warp.
#include "row_norm.cuh"

KERNEL(THREADS)
add_rms_norm(const u16* x, const float* residual, const float* weight, float* sum, u16* out, int tokens, float eps) {
  SHARED(shared);
  const int token = blockIdx.x;
  if (token >= tokens) return;
  grid_wait();
  grid_launch();
  float4 row[TURNS];
#pragma unroll
  for (int turn = 0; turn < TURNS; turn++) {
    const int column = (turn * THREADS + threadIdx.x) * 4;
    row[turn] = float4{0, 0, 0, 0};
    if (column >= COLS) continue;
    const size_t at = (size_t)token * COLS + column;
    const float4 a = load_act4(x + at), b = *(const float4*)(residual + at);
    row[turn] = float4{a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
    *(float4*)(sum + at) = row[turn];
  }
  write_normed(row, weight, out + (size_t)token * COLS, eps, (float*)shared);
}
