// out = silu(gate) * up for `tokens` rows of COLS gates and as many ups, all as activations; sums in f32.
//
// One thread for four values of a row.
#include "silu.cuh"

#ifndef THREADS
#define THREADS 256
#endif
static_assert(COLS % 4 == 0, "COLS is a multiple of 4");

KERNEL(THREADS)
KERNEL_NAME(const u16* gate_up, u16* out, int tokens) {
  const size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * 4;
  grid_wait();
  grid_launch();
  if (at >= (size_t)tokens * COLS) return;
  const u16* row = gate_up + at / COLS * (2 * COLS) + at % COLS;
  store_act4(out + at, silu_mul4(load_act4(row), load_act4(row + COLS)));
}
