// Linear over int8, any number of tokens.
#include "linear_mma.cuh"

KERNEL_OF_BLOCKS(THREADS, 2)
KERNEL_NAME(const u16* x, const u8* values, const float* scales, const float* bias, void* out,
    int tokens, float* partial_sums, u32* arrived) {
  linear_mma(Int8(values, scales), x, Output{out, bias}, tokens, Workspace{partial_sums, arrived});
}
