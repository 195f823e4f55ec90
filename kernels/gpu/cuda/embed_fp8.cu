// out[token] = table[token_ids[token]]: a table of E4M3, each row with a scale (-DTENSOR_SCALE: one for all), out f32.
// One block for each token.
#include "embed.cuh"

KERNEL(THREADS)
KERNEL_NAME(const i32* token_ids, const u8* table, const float* scales, float* out, int tokens) {
  embed(token_ids, out, tokens, [&](size_t row, int column) {
#ifdef TENSOR_SCALE
    const float scale = scales[0];
#else
    const float scale = scales[row];
#endif
    const u32 codes = codes4<8>(table, row, column).x;
    const u32 low = e4m3x2_to_f16x2((u16)codes), high = e4m3x2_to_f16x2((u16)(codes >> 16));
    return float4{from_f16((u16)low) * scale, from_f16((u16)(low >> 16)) * scale, from_f16((u16)high) * scale,
                  from_f16((u16)(high >> 16)) * scale};
  });
}
