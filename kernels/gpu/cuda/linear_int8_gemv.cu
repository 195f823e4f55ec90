// Linear over int8, a few tokens.
#include "linear_gemv.cuh"

KERNEL(THREADS)
KERNEL_NAME(const u16* x, const u8* values, const float* scales, const float* bias, void* out,
    int tokens) {
  linear_gemv(Int8(values, scales), x, Output{out, bias}, tokens);
}
