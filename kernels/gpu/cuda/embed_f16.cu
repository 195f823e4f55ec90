// out[token] = table[token_ids[token]]: a table of f16, out f32. One block for each token.
#include "embed.cuh"

KERNEL(THREADS)
KERNEL_NAME(const i32* token_ids, const u8* table, float* out, int tokens) {
  embed(token_ids, out, tokens, [&](size_t row, int column) {
    const uint2 p = codes4<16>(table, row, column);
    return float4{from_f16((u16)p.x), from_f16((u16)(p.x >> 16)), from_f16((u16)p.y), from_f16((u16)(p.y >> 16))};
  });
}
