// Linear over fp8 E4M3 (one scale: -DTENSOR_SCALE), a few tokens.
#include "linear_gemv.cuh"

KERNEL(THREADS)
KERNEL_NAME(const u16* x, const u8* values, const float* scales, const float* bias, void* out,
    int tokens) {
  linear_gemv(Fp8(values, scales), x, Output{out, bias}, tokens);
}
