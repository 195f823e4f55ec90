// Linear over f16, one or two tokens on CUDA cores.
#include "linear_gemv.cuh"

KERNEL(THREADS)
linear_f16_gemv(const u16* x, const u8* values, const float* bias, void* out,
    int tokens) {
  linear_gemv(F16(values), x, Output{out, bias}, tokens);
}
