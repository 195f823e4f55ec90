// out[16][8] = a[16][16] * b[16][8] (row-major; -DBF16: bf16, else f16), twice: b by rows through transposed matrix loads,
// and b_rows[8][16], which is b transposed, through plain ones. One warp. Shared memory: 1024 bytes.
#include "dev.cuh"

KERNEL(32)
probe_matrix(const u16* a, const u16* b, const u16* b_rows, float* out) {
  SHARED(shared);
  u16 *left = (u16*)shared, *right = left + 256, *right_rows = right + 128;
  const int lane = threadIdx.x;
  for (int i = lane; i < 256; i += 32) left[i] = a[i];
  for (int i = lane; i < 128; i += 32) right[i] = b[i], right_rows[i] = b_rows[i];
  warp_sync();
  u32 fragment[4], columns[4], rows[4];
  load_matrix_x4(fragment, smem(left + lane % 16 * 16 + lane / 16 * 8));
  load_matrix_x4_transposed(columns, smem(right + lane % 16 * 8));
  load_matrix_x4(rows, smem(right_rows + lane % 8 * 16 + lane / 8 % 2 * 8));
  const u32 choices[2][2] = {{columns[0], columns[1]}, {rows[0], rows[1]}};
  for (int choice = 0; choice < 2; choice++) {
    float sums[4] = {};
#ifdef BF16
    mma_16x8x16_bf16(sums, fragment, choices[choice][0], choices[choice][1]);
#else
    mma_16x8x16(sums, fragment, choices[choice][0], choices[choice][1]);
#endif
    for (int i = 0; i < 4; i++) out[choice * 128 + (lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sums[i];
  }
}
