// out = silu(gate) * up for `tokens` rows of COLS gates and as many ups, all as activations; sums in f32.
//
// One thread for four values of a row.
#include "activation.cuh"

#ifndef THREADS
#define THREADS 256
#endif
static_assert(COLS % 4 == 0, "COLS is a multiple of 4");

// gate / (1 + e^-gate) * up
DEV float silu_mul_one(float gate, float up) {
  return gate / (1.0f + exp2_approx(gate * -1.44269504f)) * up;
}

KERNEL(THREADS)
silu_mul(const u16* gate_up, u16* out, int tokens) {
  const size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * 4;
  grid_wait();
  grid_launch();
  if (at >= (size_t)tokens * COLS) return;
  const u16* row = gate_up + at / COLS * (2 * COLS) + at % COLS;
  const float4 gate = load_act4(row), up = load_act4(row + COLS);
  store_act4(out + at, {silu_mul_one(gate.x, up.x), silu_mul_one(gate.y, up.y), silu_mul_one(gate.z, up.z),
                        silu_mul_one(gate.w, up.w)});
}
