// out[token] = table[token_ids[token]]: a table of nf4 in rows, the first of two codes in a byte's high half, with
// double-quantized absmax for each block of 64; out f32. One block for each token.
#include "embed.cuh"
#include "tables.cuh"

KERNEL(THREADS)
embed_nf4(const i32* token_ids, const u8* table, const u8* absmax_codes, const float* absmax_scales,
          const float* absmax_offset, float* out, int tokens) {
  embed(token_ids, out, tokens, [&](size_t row, int column) {
    const size_t block = (row * COLS + column) / 64;
    const float absmax = ABSMAX_MAP[absmax_codes[block]] * absmax_scales[block / 256] + absmax_offset[0];
    const u32 codes = *(const u16*)(table + (row * COLS + column) / 2);
    return float4{NF4_VALUES[codes >> 4 & 15] * absmax, NF4_VALUES[codes & 15] * absmax,
                  NF4_VALUES[codes >> 12] * absmax, NF4_VALUES[codes >> 8 & 15] * absmax};
  });
}
