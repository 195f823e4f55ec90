// out[token] = x[token] / sqrt(mean(x[token]^2) + eps) * weight: x and weight f32, out as activations, or with -DOUT_FP8 as
// E4M3 with a scale for each token.
//
// One block for each token. Shared memory: a float for each warp; two with -DOUT_FP8.
#include "row_norm.cuh"

KERNEL(THREADS)
KERNEL_NAME(const float* x, const float* weight, Out* out, int tokens, float eps
#ifdef OUT_FP8
            , float* scales
#endif
) {
  SHARED(shared);
  if (!has_token(tokens)) return;
  const int token = blockIdx.x;
  Row row;
  load_row(row, [&](int column) { return *(const float4*)(x + (size_t)token * COLS + column); });
  norm(row, weight, eps, (float*)shared);
#ifdef OUT_FP8
  write_row(row, out + (size_t)token * COLS, scales + token, (float*)shared + THREADS / 32);
#else
  write_row(row, out + (size_t)token * COLS);
#endif
}
