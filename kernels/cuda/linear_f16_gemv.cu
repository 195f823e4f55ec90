// Linear over f16, a few tokens.
#include "linear_gemv.cuh"

KERNEL(THREADS)
linear_f16_gemv(const u16* x, const u8* values, const float* bias, void* out,
    int tokens) {
  linear_gemv(F16(values), x, Output{out, bias}, tokens);
}
