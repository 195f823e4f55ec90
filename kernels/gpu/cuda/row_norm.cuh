// What the norms share: a block norms the row that it holds.
#pragma once
#include "row.cuh"

// row / sqrt(mean(row^2) + eps) * weight. `warps` is a float for each warp.
DEV void norm(Row& row, const float* weight, float eps, float* warps) {
  float squares = 0;
#pragma unroll
  for (int turn = 0; turn < TURNS; turn++) {
    const float4 v = row[turn];
    squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
  }
  const float inverse = rsqrt_approx(combine(squares, warps, sum_of) * (1.0f / COLS) + eps);
#pragma unroll
  for (int turn = 0; turn < TURNS; turn++) {
    if (column_of(turn) >= COLS) continue;
    const float4 v = row[turn], w = *(const float4*)(weight + column_of(turn));
    row[turn] = float4{v.x * inverse * w.x, v.y * inverse * w.y, v.z * inverse * w.z, v.w * inverse * w.w};
  }
}
