// out[row] = x[row] / sqrt(mean(x[row]^2) + eps) * weight: x and weight f32, out as activations, or with -DOUT_FP8 as E4M3
// with a scale for each row; with -DNARROW x as activations, too. A row is a token, or a head of one.
//
// One block for each row. Shared memory: a float for each warp; two with -DOUT_FP8.
#include "row_norm.cuh"

#ifdef NARROW
typedef u16 In;
DEV float4 load4(const In* x) { return load_act4(x); }
#else
typedef float In;
DEV float4 load4(const In* x) { return *(const float4*)x; }
#endif

KERNEL(THREADS)
KERNEL_NAME(const In* x, const float* weight, Out* out, int rows, float eps
#ifdef OUT_FP8
            , float* scales
#endif
) {
  SHARED(shared);
  if (!has_token(rows)) return;
  const int row_index = blockIdx.x;
  Row row;
  load_row(row, [&](int column) { return load4(x + (size_t)row_index * COLS + column); });
  norm(row, weight, eps, (float*)shared);
#ifdef OUT_FP8
  write_row(row, out + (size_t)row_index * COLS, scales + row_index, (float*)shared + THREADS / 32);
#else
  write_row(row, out + (size_t)row_index * COLS);
#endif
}
