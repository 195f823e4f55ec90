// Linear over fp8 E4M3 (one scale: -DTENSOR_SCALE), many tokens on Hopper.
#include "linear_wgmma.cuh"

KERNEL(THREADS)
KERNEL_NAME(const u16* x, const u8* values, const float* scales, const float* bias, void* out,
    int tokens, float* partial_sums, u32* arrived) {
  linear_wgmma(Fp8(values, scales), x, Output{out, bias}, tokens, Workspace{partial_sums, arrived});
}
