// sum = x + residual over `tokens` rows of COLS: x as activations (-DX_F32: f32), the rest f32.
//
// One thread for four values.
#include "activation.cuh"

#ifndef THREADS
#define THREADS 256
#endif
static_assert(COLS % 4 == 0, "COLS is a multiple of 4");
#ifdef X_F32
typedef float X;
DEV float4 load4(const float* x) { return *(const float4*)x; }
#else
typedef u16 X;
DEV float4 load4(const u16* x) { return load_act4(x); }
#endif

KERNEL(THREADS)
KERNEL_NAME(const X* x, const float* residual, float* sum, int tokens) {
  const size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * 4;
  grid_wait();
  grid_launch();
  if (at >= (size_t)tokens * COLS) return;
  const float4 a = load4(x + at), b = *(const float4*)(residual + at);
  *(float4*)(sum + at) = float4{a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}
