// Linear over int4, GROUP columns to a scale (with zero points: -DZERO_POINT), a few tokens.
#include "linear_gemv.cuh"

KERNEL(THREADS)
KERNEL_NAME(const u16* x, const u8* values, const u8* scales, const u8* zero_points, const float* bias, void* out,
    int tokens) {
  linear_gemv(Int4(values, scales, zero_points), x, Output{out, bias}, tokens);
}
