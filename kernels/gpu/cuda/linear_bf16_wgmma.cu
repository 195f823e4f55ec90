// Linear over bf16, many tokens on Hopper.
#include "linear_wgmma.cuh"

#ifndef ACT_BF16
#error "weights of bf16 take activations of bf16"
#endif

KERNEL(THREADS)
KERNEL_NAME(const u16* x, const u8* values, const float* bias, void* out,
    int tokens, float* partial_sums, u32* arrived) {
  linear_wgmma(Values16(values), x, Output{out, bias}, tokens, Workspace{partial_sums, arrived});
}
