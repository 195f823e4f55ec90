// out[token] = table[token_ids[token]]: a table of int4, GROUP columns to an f16 scale (with zero points: -DZERO_POINT),
// out f32. One block for each token. Without zero points their pointer is not read.
#include "embed.cuh"

KERNEL(THREADS)
KERNEL_NAME(const i32* token_ids, const u8* table, const u16* scales, const u8* zero_points, float* out, int tokens) {
  embed(token_ids, out, tokens, [&](size_t row, int column) {
    const u32 codes = codes4<4>(table, row, column).x;
    const size_t group = group_at<GROUP>(row, column);
    const float scale = from_f16(scales[group]);
#if !defined(ZERO_POINT)
    const auto value = [&](int i) { return (float)((i32)(codes << (28 - i * 4)) >> 28) * scale; };
#else
#ifdef FRAGMENTS
    const int zero = zero_points[group];
#else
    const int zero = zero_points[group / 2] >> (group % 2 ? 0 : 4) & 15;
#endif
    const auto value = [&](int i) { return (float)((int)(codes >> i * 4 & 15) - zero) * scale; };
#endif
    return float4{value(0), value(1), value(2), value(3)};
  });
}
