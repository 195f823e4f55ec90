// Number formats that a host compiler lacks or spells differently, for the runtime and for the host twins alike.
#pragma once
#include "api.h"

namespace samp_emu {

inline u32 bits_of(float x) {
  u32 bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits;
}

inline float float_of(u32 bits) {
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

inline u16 to_f16(float x) {
  const _Float16 half = (_Float16)x;
  u16 bits;
  __builtin_memcpy(&bits, &half, 2);
  return bits;
}

inline float from_f16(u16 bits) {
  _Float16 half;
  __builtin_memcpy(&half, &bits, 2);
  return (float)half;
}

// To nearest, ties to even; NaN stays NaN.
inline u16 to_bf16(float x) {
  const u32 bits = bits_of(x);
  if (x != x) return 0x7fff;
  return (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float from_bf16(u16 bits) { return float_of((u32)bits << 16); }

// OCP E4M3: bias 7, no infinities, NaN where all other bits are set.
inline float from_e4m3(u8 code) {
  const u32 magnitude = code & 0x7f;
  const float value = magnitude == 0x7f ? __builtin_nanf("")
                      : magnitude < 8   ? (float)magnitude / 512.0f
                                        : float_of((magnitude << 20) + (120u << 23));
  return code & 0x80 ? -value : value;
}

inline int bytes_of(Element element) { return element == Element::E4m3 ? 1 : 2; }

// The value in the low bits of a word.
inline float from_element(Element element, u32 bits) {
  if (element == Element::E4m3) return from_e4m3((u8)bits);
  return element == Element::Half ? from_f16((u16)bits) : from_bf16((u16)bits);
}

// To nearest, ties to even; beyond 448 saturates, NaN gives the NaN of its sign.
inline u8 to_e4m3(float x) {
  const u8 sign = (u8)(bits_of(x) >> 24 & 0x80);
  if (x != x) return 0x7f;
  const float magnitude = __builtin_fabsf(x);
  if (magnitude >= 448.0f) return sign | 0x7e;
  // Codes ascend with their values: the nearest is one of the two around it.
  u8 low = 0, high = 0x7e;
  while (high - low > 1) {
    const u8 middle = (u8)((low + high) / 2);
    (from_e4m3(middle) <= magnitude ? low : high) = middle;
  }
  const float below = magnitude - from_e4m3(low), above = from_e4m3(high) - magnitude;
  const bool up = above < below || (above == below && high % 2 == 0);
  return sign | (up ? high : low);
}

}  // namespace samp_emu
