// Linear over bf16, any number of tokens.
#include "linear_mma.cuh"

#ifndef ACT_BF16
#error "weights of bf16 take activations of bf16"
#endif

KERNEL_OF_BLOCKS(THREADS, 2)
KERNEL_NAME(const u16* x, const u8* values, const float* bias, void* out,
    int tokens, float* partial_sums, u32* arrived) {
  linear_mma(Values16(values), x, Output{out, bias}, tokens, Workspace{partial_sums, arrived});
}
