// Linear over nf4 (fp4 with -DFP4), a few tokens.
#include "linear_gemv.cuh"

KERNEL(THREADS)
KERNEL_NAME(const u16* x, const u8* values, const u8* absmax_codes, const float* absmax_scales, const float* absmax_offset, const float* bias, void* out,
    int tokens) {
  linear_gemv(Table4(values, absmax_codes, absmax_scales, absmax_offset), x, Output{out, bias}, tokens);
}
