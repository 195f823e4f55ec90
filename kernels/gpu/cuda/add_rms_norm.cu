// sum[token] = x[token] + residual[token]; out[token] = rms_norm(sum[token]): x and out as activations, the rest f32; with
// -DOUT_FP8 out as E4M3 with a scale for each token.
//
// One block for each token. Shared memory: a float for each warp; two with -DOUT_FP8.
#include "row_norm.cuh"

KERNEL(THREADS)
KERNEL_NAME(const u16* x, const float* residual, const float* weight, float* sum, Out* out, int tokens, float eps
#ifdef OUT_FP8
            , float* scales
#endif
) {
  SHARED(shared);
  if (!has_token(tokens)) return;
  const int token = blockIdx.x;
  Row row;
  load_row(row, [&](int column) {
    const size_t at = (size_t)token * COLS + column;
    const float4 a = load_act4(x + at), b = *(const float4*)(residual + at);
    const float4 added = {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
    *(float4*)(sum + at) = added;
    return added;
  });
  norm(row, weight, eps, (float*)shared);
#ifdef OUT_FP8
  write_row(row, out + (size_t)token * COLS, scales + token, (float*)shared + THREADS / 32);
#else
  write_row(row, out + (size_t)token * COLS);
#endif
}
