// out[token] = table[token_ids[token]]: a table of nf4 (fp4 with -DFP4) with double-quantized absmax for each block of 64;
// out f32. One block for each token.
#include "embed.cuh"
#include "tables.cuh"

#ifdef FP4
#define VALUES FP4_VALUES
#else
#define VALUES NF4_VALUES
#endif

KERNEL(THREADS)
KERNEL_NAME(const i32* token_ids, const u8* table, const u8* absmax_codes, const float* absmax_scales,
            const float* absmax_offset, float* out, int tokens) {
  embed(token_ids, out, tokens, [&](size_t row, int column) {
    // Groups of absmax values follow the rows in every layout.
    const float group_scale = absmax_scales[(row * COLS + column) / 64 / 256];
    const float absmax = ABSMAX_MAP[absmax_codes[group_at<64>(row, column)]] * group_scale + absmax_offset[0];
    const u32 codes = codes4<4>(table, row, column).x;
    return float4{VALUES[codes & 15] * absmax, VALUES[codes >> 4 & 15] * absmax, VALUES[codes >> 8 & 15] * absmax,
                  VALUES[codes >> 12 & 15] * absmax};
  });
}
