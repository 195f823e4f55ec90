// sum[token] = x[token] + residual[token]; out[token] = rms_norm(sum[token]): x and out as activations, the rest f32; with
// -DOUT_FP8 out as E4M3 with a scale for each token.
//
// One block for each token. Shared memory: a float for each warp; two with -DOUT_FP8.
#include "row_norm.cuh"

KERNEL(THREADS)
add_rms_norm(const u16* x, const float* residual, const float* weight, float* sum, Out* out, int tokens, float eps
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
    if (column_of(turn) >= COLS) continue;
    const size_t at = (size_t)token * COLS + column_of(turn);
    const float4 a = load_act4(x + at), b = *(const float4*)(residual + at);
    row[turn] = float4{a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
    *(float4*)(sum + at) = row[turn];
  }
  norm(row, weight, eps, (float*)shared);
#ifdef OUT_FP8
  write_row(row, out + (size_t)token * COLS, scales + token, (float*)shared + THREADS / 32);
#else
  write_row(row, out + (size_t)token * COLS);
#endif
}
