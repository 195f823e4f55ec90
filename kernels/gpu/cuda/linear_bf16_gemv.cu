// Linear over bf16, a few tokens.
#include "linear_gemv.cuh"

#ifndef ACT_BF16
#error "weights of bf16 take activations of bf16"
#endif

KERNEL(THREADS)
KERNEL_NAME(const u16* x, const u8* values, const float* bias, void* out,
    int tokens) {
  linear_gemv(Values16(values), x, Output{out, bias}, tokens);
}
