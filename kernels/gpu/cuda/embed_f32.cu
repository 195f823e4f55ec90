// out[token] = table[token_ids[token]]: a table of f32 in rows, out f32. One block for each token.
#include "embed.cuh"

KERNEL(THREADS)
KERNEL_NAME(const i32* token_ids, const float* table, float* out, int tokens) {
  embed(token_ids, out, tokens, [&](size_t row, int column) {
    return *(const float4*)(table + row * COLS + column);
  });
}
