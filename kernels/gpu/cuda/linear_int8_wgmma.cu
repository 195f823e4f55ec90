// Linear over int8, many tokens on Hopper.
#include "linear_wgmma.cuh"

KERNEL(THREADS)
KERNEL_NAME(const u16* x, const u8* values, const float* scales, const float* bias, void* out,
    int tokens, float* partial_sums, u32* arrived) {
  linear_wgmma(Int8(values, scales), x, Output{out, bias}, tokens, Workspace{partial_sums, arrived});
}
