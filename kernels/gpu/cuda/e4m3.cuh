// OCP E4M3 by plain operations on bits, where the device has no instructions for it.
#pragma once

// To nearest even; magnitudes beyond 448 become 448.
DEV u8 to_e4m3_by_bits(float x) {
  const u32 magnitude = bits_of(x) & 0x7fffffff, sign = bits_of(x) >> 24 & 0x80;
  if (magnitude > 0x7f800000) return 0x7f;
  const u32 bits = magnitude < 0x43e00000 ? magnitude : 0x43e00000;
  // Below 2^-6 codes are multiples of 2^-9, the last place of a float near 2^14, so that the addition rounds.
  const u32 subnormal = bits_of(float_of(bits) + 16384.0f) - bits_of(16384.0f);
  // Adding half of the last kept place less one, and the last kept bit, rounds ties to even.
  const u32 normal = ((bits + 0x7ffff + (bits >> 20 & 1)) >> 20) - (120 << 3);
  return (u8)((bits < 0x3c800000 ? subnormal : normal) | sign);
}

// Moved into f16, whose exponent has one bit more, the bits give 2^-8 of the value, subnormals too.
DEV u32 e4m3x2_to_f16x2_by_bits(u16 codes) {
  const u32 spread = (codes & 0x00ffu) << 8 | (codes & 0xff00u) << 16;
  const u32 moved = (spread & 0x80008000) | (spread >> 1 & 0x3f803f80);
  return fma_f16x2(moved, 0x5c005c00, 0x80008000);  // times 256; adding -0 keeps the sign of zeros
}
