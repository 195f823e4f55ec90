// Linear over int4, GROUP columns to a scale (with zero points: -DZERO_POINT), any number of tokens.
#include "linear_mma.cuh"

KERNEL_OF_BLOCKS(THREADS, 2)
KERNEL_NAME(const u16* x, const u8* values, const u8* scales, const u8* zero_points, const float* bias, void* out,
    int tokens, float* partial_sums, u32* arrived) {
  linear_mma(Int4(values, scales, zero_points), x, Output{out, bias}, tokens, Workspace{partial_sums, arrived});
}
