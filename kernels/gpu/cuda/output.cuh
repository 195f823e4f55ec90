// Where a linear's sums go: bias added (-DBIAS), as activations or f32 (-DOUT_F32). Where x is in E4M3 (-DX_FP8) they are
// multiplied by the scale of their token first.
#pragma once
#include "weights.cuh"

struct Output {
  void* values;       // [tokens][ROWS]
  const float* bias;  // [ROWS]
#ifdef X_FP8
  const float* token_scales;
#endif

  DEV void write(int token, int row, float sum) const {
#ifdef X_FP8
    sum *= token_scales[token];
#endif
#ifdef BIAS
    sum += bias[row];
#endif
    const size_t at = (size_t)token * ROWS + row;
#ifdef OUT_F32
    ((float*)values)[at] = sum;
#else
    ((u16*)values)[at] = to_act(sum);
#endif
  }
};

// Writes a warp's finished sums of one tile: `sums` holds, for every 8 tokens, what `mma_16x8x16` leaves.
template <class W, int COUNT>
DEV void write_tile(const W& w, const float (&sums)[COUNT], const Output& out, int tile, int first_token, int tokens,
                    int lane) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int row = tile * TILE_ROWS + lane / 4 + half * 8;
    if (row >= ROWS) continue;
    const float channel = w.channel(row);
#pragma unroll
    for (int i = 0; i < COUNT / 2; i++) {
      const int token = first_token + i / 2 * 8 + lane % 4 * 2 + i % 2;
      if (token < tokens) out.write(token, row, sums[i / 2 * 4 + half * 2 + i % 2] * channel);
    }
  }
}
