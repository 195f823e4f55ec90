// Weights in `fragments` order, and how each format turns one lane's bytes into the A registers of a 16x16 matrix unit.
//
// A matrix of ROWS x COLS is stored in tiles of 16 rows. A *block* is 64 columns of a tile: CHUNKS x 512 bytes, of which
// every lane owns 16 in each chunk. Lane 4g + t decodes, for each of the block's four k16 steps, its four registers
// a[0..4]: columns 2t and 2t + 1 of rows g and g + 8, then columns 2t + 8 and 2t + 9 of the same rows. With -DX_FP8, where
// activations are E4M3, a block is 128 columns and a step 32 of them: a row of x in a block is 128 bytes either way.
//
// A format is a type with
//   BITS, BLOCK_SCALED       whether the sums of each block are scaled and added to the others in f32;
//   EXTRA                    bytes per tile and block beside the codes, staged with them;
//   TABLE                    bytes of shared memory for tables, filled once by `fill`;
//   copy_extra(...)          copies the extras of a block asynchronously, by a warp;
//   bulk_extra<N>(...)       copies those of N blocks in bulk, by a thread, which a barrier counts as N x EXTRA bytes;
//   extra_of<N>(...)         finds a block's extras among those;
//   Block                    what a lane needs to know of a block: `block(...)`, after the copies are done;
//   decode(...)              the four registers of a step;
//   channel(row)             the factor of a row's finished sum.
//
// Registers hold f16, or bf16 with -DACT_BF16: what activations are. Codes of 4 and 8 bits are exact in both; the values of
// a table are rounded. A weight of f16 is not exact in bf16, nor the other way round, so each goes with its own activations.
#pragma once
#include "activation.cuh"
#include "tables.cuh"

constexpr int TILE_ROWS = 16;
#ifdef X_FP8
constexpr int BLOCK_COLS = 128;
#else
constexpr int BLOCK_COLS = 64;
#endif
constexpr int BLOCKS = COLS / BLOCK_COLS;
constexpr int TILES = (ROWS + TILE_ROWS - 1) / TILE_ROWS;
constexpr int STEPS = 4;
static_assert(COLS % BLOCK_COLS == 0, "COLS is whole blocks");

// Sizes of a staged block of format W.
template <class W> struct Staged {
  static constexpr int CHUNKS = W::BITS * BLOCK_COLS / 256;
  static constexpr int CODES = CHUNKS * 512;
  static constexpr int BYTES = CODES + W::EXTRA;
  static constexpr int WORDS = CHUNKS * 4;            // of a lane
  static constexpr int STEP_WORDS = WORDS / STEPS;

  static DEV const u8* source(const W& w, int tile, int block) {
    return w.values + ((size_t)tile * BLOCKS + block) * CODES;
  }

  // A warp copies one block; what a lane owns it copies itself.
  static DEV void copy(const W& w, u32 to, int tile, int block, int lane) {
    const u8* from = source(w, tile, block) + lane * 16;
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) copy16_once(to + c * 512 + lane * 16, from + c * 512);
    w.copy_extra(to + CODES, tile, block, lane);
  }

  // The words that a lane owns of a staged block.
  static DEV void words(u32 (&words)[WORDS], const u8* staged, int lane) {
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
      const uint4 chunk = *(const uint4*)(staged + c * 512 + lane * 16);
      words[4 * c] = chunk.x, words[4 * c + 1] = chunk.y, words[4 * c + 2] = chunk.z, words[4 * c + 3] = chunk.w;
    }
  }
};

// What every format without extras and tables shares.
struct Plain {
  static constexpr bool BLOCK_SCALED = false;
  static constexpr int EXTRA = 0, TABLE = 0;
  struct Block {
    float scale[2];
  };
  DEV void fill(u8*, int, int) const {}
  DEV void copy_extra(u32, int, int, int) const {}
  template <int N> DEV void bulk_extra(u8*, int, int, u64*) const {}
  template <int N> DEV const u8* extra_of(const u8* extra, int) const { return extra; }
  DEV Block block(const u8*, const u8*, int, int, int) const { return Block{{1.0f, 1.0f}}; }
};

// f16 or bf16 values as they are: of the activations' own format.
struct Values16 : Plain {
  static constexpr int BITS = 16;
  const u8* values;
  DEV explicit Values16(const u8* values) : values(values) {}
  DEV float channel(int) const { return 1.0f; }
  static DEV void decode(u32 (&a)[4], const u32* words, const Block&) {
#pragma unroll
    for (int i = 0; i < 4; i++) a[i] = words[i];
  }
};

// Codes of 8 bits with a scale for each channel, or one for all (-DTENSOR_SCALE).
struct Bytes : Plain {
  static constexpr int BITS = 8;
  const u8* values;
  const float* scales;
  DEV Bytes(const u8* values, const float* scales) : values(values), scales(scales) {}
  DEV float scale(int row) const {
#ifdef TENSOR_SCALE
    return scales[0];
#else
    return scales[row];
#endif
  }
};

// E4M3. Its bits moved into f16, whose exponent has one bit more, give 2^-8 of the value, subnormals too; into bf16, 2^-120.
struct Fp8 : Bytes {
  DEV Fp8(const u8* values, const float* scales) : Bytes(values, scales) {}
#ifdef ACT_BF16
  DEV float channel(int row) const { return scale(row); }
#else
  DEV float channel(int row) const { return scale(row) * 256.0f; }
#endif
  static DEV void decode(u32 (&a)[4], const u32* words, const Block&) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const u32 high = byte_permute(words[i / 2], 0, i % 2 == 0 ? 0x1404 : 0x3424);
#ifdef ACT_BF16
      // So small a value times an activation would be lost in f32: times 2^120. Adding -0 keeps the sign of zeros.
      a[i] = fma_bf16x2((high & 0x80008000) | (high >> 4 & 0x07f007f0), 0x7b807b80, 0x80008000);
#else
      a[i] = (high & 0x80008000) | (high >> 1 & 0x3f803f80);
#endif
    }
  }
};

// E4M3 as it is, for activations of E4M3. A lane's four bytes of a row are columns 2t, 2t + 1, 2t + 8 and 2t + 9 of 16, as they
// are in the activations (`store_pairs` in row.cuh).
struct Fp8Codes : Bytes {
  // The units keep 14 bits of a sum, too few for thousands of products. After 128 of them it is added to others in f32, as in
  // the DeepSeek-V3 Technical Report, 3.3.2.
  static constexpr bool BLOCK_SCALED = true;
  DEV Fp8Codes(const u8* values, const float* scales) : Bytes(values, scales) {}
  DEV float channel(int row) const { return scale(row); }
  static DEV void decode(u32 (&a)[4], const u32* words, const Block&) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const u32* pairs = words + i / 2 * 2;
      a[i] = byte_permute(pairs[0], pairs[1], i % 2 == 0 ? 0x5410 : 0x7632);
    }
  }
};

// Two's complement. As f16: 128 more than the code below 1024's leading bits is 1152 + code. As bf16: its lower 7 bits below
// 128's leading bits are 128 more than they count, and the sign bit makes -256 of -128.
struct Int8 : Bytes {
  DEV Int8(const u8* values, const float* scales) : Bytes(values, scales) {}
  DEV float channel(int row) const { return scale(row); }
  static DEV void decode(u32 (&a)[4], const u32* words, const Block&) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const u32 pairs = i % 2 == 0 ? 0x4140 : 0x4342;
#ifdef ACT_BF16
      const u32 pair = byte_permute(words[i / 2], 0, pairs);
      a[i] = fma_bf16x2((pair & 0x007f007f) | 0x43004300, 0x3f803f80, (pair & 0x00800080) | 0xc300c300);
#else
      const u32 biased = words[i / 2] ^ 0x80808080;
      a[i] = add_f16x2(byte_permute(biased, 0x64646464, pairs), 0xe480e480);  // -1152
#endif
    }
  }
};

#ifndef GROUP
#define GROUP 128
#endif

// 4-bit integers with an f16 scale for each GROUP columns, and with ZERO_POINT the code that stands for zero.
struct Int4 {
  static constexpr int BITS = 4, TABLE = 0;
  // What `decode` finds instead of zero, for the low code of a byte and for the high one.
#ifdef ACT_BF16
  static constexpr float LOW_OFFSET = -128.0f, HIGH_OFFSET = -128.0f;
#else
  static constexpr float LOW_OFFSET = -1024.0f, HIGH_OFFSET = -64.0f;
#endif
  static constexpr bool BLOCK_SCALED = true;
  static constexpr int GROUPS = COLS / GROUP;
  const u8* values;
  const u8* scales;
#ifdef ZERO_POINT
  static constexpr int EXTRA = 48;
  const u8* zeros;
  DEV Int4(const u8* values, const u8* scales, const u8* zeros) : values(values), scales(scales), zeros(zeros) {}
#else
  static constexpr int EXTRA = 32;
  DEV Int4(const u8* values, const u8* scales, const u8*) : values(values), scales(scales) {}
#endif
  // For rows g and g + 8: the scale, and what takes the codes' offset away again.
  struct Block {
    float scale[2];
    u32 offset[2];
  };

  DEV void fill(u8*, int, int) const {}
  DEV float channel(int) const { return 1.0f; }

  DEV void copy_extra(u32 to, int tile, int block, int lane) const {
    const size_t group = (size_t)tile * GROUPS + block * BLOCK_COLS / GROUP;
    if (lane < 2) copy16(to + lane * 16, scales + group * 32 + lane * 16);
#ifdef ZERO_POINT
    if (lane == 2) copy16(to + 32, zeros + group * 16);
#endif
  }

  // Every block's own, though a group of 128 has the same for two.
  template <int N> DEV void bulk_extra(u8* to, int tile, int block, u64* barrier) const {
    for (int i = 0; i < N; i++) {
      const size_t group = (size_t)tile * GROUPS + (block + i) * BLOCK_COLS / GROUP;
      bulk_copy_once(to + i * EXTRA, scales + group * 32, 32, barrier);
#ifdef ZERO_POINT
      bulk_copy_once(to + i * EXTRA + 32, zeros + group * 16, 16, barrier);
#endif
    }
  }
  template <int N> DEV const u8* extra_of(const u8* extra, int block) const { return extra + block % N * EXTRA; }

  DEV Block block(const u8* extra, const u8*, int, int, int lane) const {
    Block b;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = lane / 4 + half * 8;
      b.scale[half] = from_f16(((const u16*)extra)[row]);
#ifdef ZERO_POINT
      const float zero = extra[32 + row];
      b.offset[half] = pack_act(LOW_OFFSET - zero, HIGH_OFFSET - zero);
#else
      b.offset[half] = pack_act(LOW_OFFSET - 8.0f, HIGH_OFFSET - 8.0f);
#endif
    }
    return b;
  }

  static DEV void decode(u32 (&a)[4], const u32* words, const Block& b) {
#ifdef ZERO_POINT
    const u32 flip = 0;
#else
    const u32 flip = 0x00080008;  // codes are two's complement: flipping their sign adds 8
#endif
#ifdef ACT_BF16
    const u32 high = words[0] >> 4;
#endif
#pragma unroll
    for (int i = 0; i < 4; i++) {
#ifdef ACT_BF16
      // Below 128's leading bits codes are 128 + code.
      const u32 pair = (byte_permute(words[0], high, i | (i + 4) << 8) & 0x000f000f) ^ (0x43004300 | flip);
      a[i] = fma_bf16x2(pair, 0x3f803f80, b.offset[i % 2]);
#else
      // Below 1024's leading bits the low code is 1024 + code, the high one, left where it stands, 1024 + 16 code.
      const u32 leading = 0x64006400 | (flip & 0xffff) | (flip >> 16 << 20);
      const u32 pair = (byte_permute(words[0], 0, 0x4040 | i << 8 | i) & 0x00f0000f) ^ leading;
      a[i] = fma_f16x2(pair, 0x2c003c00, b.offset[i % 2]);  // times 1 and 1/16
#endif
    }
  }
};

#ifdef FP4
#define VALUES FP4_VALUES
#else
#define VALUES NF4_VALUES
#endif

// Codes of 4 bits into a table, times the absmax of the block, itself a code of 8 bits into a table times the scale of 256
// absmax values, plus an offset. Every lane has its own copy of the pairs' table, each in its own bank.
struct Table4 {
  static constexpr int BITS = 4, EXTRA = 16, PAIRS = 256 * 32 * 4, TABLE = PAIRS + 256 * 4;
  static constexpr bool BLOCK_SCALED = true;
  const u8* values;
  const u8* codes;
  const float* group_scales;
  float offset;
  struct Block {
    float scale[2];
    const u8* pairs;
  };

  DEV Table4(const u8* values, const u8* codes, const float* group_scales, const float* offset)
      : values(values), codes(codes), group_scales(group_scales), offset(*offset) {}
  DEV float channel(int) const { return 1.0f; }

  DEV void fill(u8* table, int thread, int threads) const {
    for (int e = thread; e < 256; e += threads) {
      const u32 pair = pack_act(VALUES[e % 16], VALUES[e / 16]);
      // Neighbouring threads start in different banks.
      for (int i = 0; i < 8; i++) *(uint4*)(table + e * 128 + (i + e) % 8 * 16) = uint4{pair, pair, pair, pair};
      ((float*)(table + PAIRS))[e] = ABSMAX_MAP[e];
    }
  }

  DEV void copy_extra(u32 to, int tile, int block, int lane) const {
    if (lane == 0) copy16(to, codes + ((size_t)tile * BLOCKS + block) * TILE_ROWS);
  }

  template <int N> DEV void bulk_extra(u8* to, int tile, int block, u64* barrier) const {
    bulk_copy_once(to, codes + ((size_t)tile * BLOCKS + block) * TILE_ROWS, N * EXTRA, barrier);
  }
  template <int N> DEV const u8* extra_of(const u8* extra, int block) const { return extra + block % N * EXTRA; }

  DEV Block block(const u8* extra, const u8* table, int tile, int block, int lane) const {
    const float* absmax = (const float*)(table + PAIRS);
    Block b;
    b.pairs = table + lane * 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = lane / 4 + half * 8;
      // Padding rows have no scale of their own.
      const int at = tile * TILE_ROWS + row;
      const int stored = at < ROWS ? at : ROWS - 1;
      b.scale[half] = absmax[extra[row]] * group_scales[((size_t)stored * BLOCKS + block) / 256] + offset;
    }
    return b;
  }

  static DEV void decode(u32 (&a)[4], const u32* words, const Block& b) {
    const u32 w = words[0];
    // A byte times the 128 bytes of an entry.
    const u32 at[4] = {w << 7 & 0x7f80, w >> 1 & 0x7f80, w >> 9 & 0x7f80, w >> 17 & 0x7f80};
#pragma unroll
    for (int i = 0; i < 4; i++) a[i] = *(const u32*)(b.pairs + at[i]);
  }
};
