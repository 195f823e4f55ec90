// Linear over nf4 (fp4 with -DFP4), any number of tokens.
#include "linear_mma.cuh"

KERNEL_OF_BLOCKS(THREADS, 2)
KERNEL_NAME(const u16* x, const u8* values, const u8* absmax_codes, const float* absmax_scales, const float* absmax_offset, const float* bias, void* out,
    int tokens, float* partial_sums, u32* arrived) {
  linear_mma(Table4(values, absmax_codes, absmax_scales, absmax_offset), x, Output{out, bias}, tokens, Workspace{partial_sums, arrived});
}
