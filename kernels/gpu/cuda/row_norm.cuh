// What the norms share: a block norms the row that it holds.
#pragma once
#include "row.cuh"

// row / sqrt(mean(row^2) + eps) * weight. `warps` is a float for each warp.
DEV void norm(Row& row, const float* weight, float eps, float* warps) {
  float squares = 0;
#pragma unroll
  for (int iter = 0; iter < VECS_PER_THREAD; iter++) {
    const float4 v = row[iter];
    squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
  }
  const float inverse = rsqrt_approx(combine(squares, warps, sum_of) * (1.0f / COLS) + eps);
#pragma unroll
  for (int iter = 0; iter < VECS_PER_THREAD; iter++) {
    if (column_of(iter) >= COLS) continue;
    const float4 v = row[iter], w = *(const float4*)(weight + column_of(iter));
    row[iter] = float4{v.x * inverse * w.x, v.y * inverse * w.y, v.z * inverse * w.z, v.w * inverse * w.w};
  }
}
