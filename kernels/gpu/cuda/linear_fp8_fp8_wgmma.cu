// Linear over fp8 E4M3 (one scale: -DTENSOR_SCALE) of activations in E4M3, a scale for each token, many tokens on Hopper.
#define X_FP8
#include "linear_wgmma.cuh"

KERNEL(THREADS)
KERNEL_NAME(const u8* x, const float* token_scales, const u8* values, const float* scales, const float* bias,
    void* out, int tokens, float* partial_sums, u32* arrived) {
  linear_wgmma(Fp8Codes(values, scales), x, Output{out, bias, token_scales}, tokens, Workspace{partial_sums, arrived});
}
