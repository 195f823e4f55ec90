// What the embeddings share: a block writes one token's row of COLS values, four at a time.
#pragma once
#include "activation.cuh"

#ifndef THREADS
#define THREADS 128
#endif
static_assert(COLS % 4 == 0, "COLS is a multiple of 4");

// `read(row, column)` gives the four values from `column` of a row of the table.
template <class Read> DEV void embed(const i32* token_ids, float* out, int tokens, Read read) {
  const int token = blockIdx.x;
  if (token >= tokens) return;
  grid_wait();
  grid_launch();
  const size_t row = (size_t)token_ids[token];
  for (int column = threadIdx.x * 4; column < COLS; column += THREADS * 4) {
    *(float4*)(out + (size_t)token * COLS + column) = read(row, column);
  }
}
