// out[token] = table[token_ids[token]]: a table of int8, each row with a scale, out f32. One block for each token.
#include "embed.cuh"

KERNEL(THREADS)
KERNEL_NAME(const i32* token_ids, const u8* table, const float* scales, float* out, int tokens) {
  embed(token_ids, out, tokens, [&](size_t row, int column) {
    const u32 codes = codes4<8>(table, row, column).x;
    const float scale = scales[row];
    const auto value = [&](int i) { return (float)((i32)(codes << (24 - i * 8)) >> 24) * scale; };
    return float4{value(0), value(1), value(2), value(3)};
  });
}
