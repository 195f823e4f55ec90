// SiLU of gates, times ups.
#pragma once
#include "activation.cuh"

// gate / (1 + e^-gate) * up
DEV float silu_mul_one(float gate, float up) {
  return gate / (1.0f + exp2_approx(gate * -1.44269504f)) * up;
}

DEV float4 silu_mul4(float4 gate, float4 up) {
  return {silu_mul_one(gate.x, up.x), silu_mul_one(gate.y, up.y), silu_mul_one(gate.z, up.z), silu_mul_one(gate.w, up.w)};
}
