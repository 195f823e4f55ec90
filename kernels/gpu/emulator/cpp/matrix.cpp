// `ldmatrix` and `mma`: what a warp does together with 8x8 matrices and 16x8 products (PTX ISA, "Matrix fragments for
// mma.m16n8k16").
#include <cstring>

#include "machine.h"
#include "numbers.h"

namespace samp_emu {

namespace {

struct MatrixLoad {
  u32* registers;
  int matrices;
  bool transposed;
  u32 address;
  Site site;
};

// Reads one matrix, whose row i lane `first + i` points to, and counts whether rows share banks.
void read_matrix(Collective& c, int first, u16 (&matrix)[8][8]) {
  Machine& m = machine();
  u32 banks = 0;
  bool conflict = false;
  for (int i = 0; i < 8; i++) {
    const auto& lane = *(MatrixLoad*)c.arguments[first + i];
    const u8* row = shared_at(lane.address, 16, 16, "load_matrix", lane.site);
    access_by_thread(m.current->warp * WARP + first + i, lane.address, 16, false, lane.site);
    memcpy(matrix[i], row, 16);
    const u32 bank = 1u << (lane.address / 16 % 8);
    conflict |= (banks & bank) != 0;
    banks |= bank;
  }
  m.stats.bank_conflicts += conflict;
}

void load_matrices(Collective& c) {
  machine().stats.matrix_loads++;
  const MatrixLoad any = *(MatrixLoad*)c.arguments[0];
  for (int number = 0; number < any.matrices; number++) {
    u16 matrix[8][8];
    read_matrix(c, number * 8, matrix);
    for (int lane = 0; lane < WARP; lane++) {
      const int row = lane / 4, column = lane % 4 * 2;
      const u16 first = any.transposed ? matrix[column][row] : matrix[row][column];
      const u16 second = any.transposed ? matrix[column + 1][row] : matrix[row][column + 1];
      ((MatrixLoad*)c.arguments[lane])->registers[number] = first | (u32)second << 16;
    }
  }
}

struct WarpProduct {
  float* sums;
  const u32 *a, *b;
  Element element;
};

// Register i of lane 4g + t holds, of a, rows g (i even) or g + 8 and columns 2t, or 2t + 8 from i = 2; of b, column g and
// rows 2t, or 2t + 8; of the sums, rows g, or g + 8 from i = 2, and columns 2t + i % 2.
void multiply_warp(Collective& c) {
  machine().stats.products++;
  float a[16][16], b[16][8], sums[16][8];
  for (int lane = 0; lane < WARP; lane++) {
    const auto& p = *(WarpProduct*)c.arguments[lane];
    const int g = lane / 4, t = lane % 4 * 2;
    for (int i = 0; i < 8; i++) {
      const int half = i % 2, number = i / 2;
      a[g + number % 2 * 8][t + number / 2 * 8 + half] = from_element(p.element, p.a[number] >> half * 16);
      if (number < 2) b[t + number * 8 + half][g] = from_element(p.element, p.b[number] >> half * 16);
      if (number < 2) sums[g + number * 8][t + half] = p.sums[i];
    }
  }
  for (int i = 0; i < 16; i++) {
    for (int k = 0; k < 16; k++) {
      for (int j = 0; j < 8; j++) sums[i][j] += a[i][k] * b[k][j];
    }
  }
  for (int lane = 0; lane < WARP; lane++) {
    const auto& p = *(WarpProduct*)c.arguments[lane];
    for (int i = 0; i < 4; i++) p.sums[i] = sums[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

}  // namespace

void load_matrix(u32* registers, int matrices, bool transposed, u32 address, Site site) {
  MatrixLoad own{registers, matrices, transposed, address, site};
  warp_collective("load_matrix", &own, site, load_matrices, true);
}

void multiply(float* sums, const u32* a, const u32* b, Element element, Site site) {
  WarpProduct own{sums, a, b, element};
  warp_collective("mma", &own, site, multiply_warp, true);
}

}  // namespace samp_emu
