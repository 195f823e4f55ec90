// out = silu(gate) * up for `tokens` rows of COLS gates and as many ups as activations: E4M3 with a scale for each token.
//
// One block for each token. Shared memory: a float for each warp.
#define OUT_FP8
#include "row.cuh"
#include "silu.cuh"

KERNEL(THREADS)
KERNEL_NAME(const u16* gate_up, u8* out, float* scales, int tokens) {
  SHARED(shared);
  if (!has_token(tokens)) return;
  const int token = blockIdx.x;
  Row row;
  load_row(row, [&](int column) {
    const u16* gates = gate_up + (size_t)token * (2 * COLS) + column;
    return silu_mul4(load_act4(gates), load_act4(gates + COLS));
  });
  write_row(row, out + (size_t)token * COLS, scales + token, (float*)shared);
}
