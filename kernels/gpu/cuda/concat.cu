// out[token] = part0[token], part1[token] and, where WIDTH2 is not 0, part2[token] side by side: activations of any 16 bits.
//
// One thread for a vector of a row. Without a third part its pointer is not read.
#include "dev.cuh"

#ifndef THREADS
#define THREADS 256
#endif
#ifndef WIDTH2
#define WIDTH2 0
#endif
constexpr int COLS = WIDTH0 + WIDTH1 + WIDTH2;
// Values of a vector: 16 bytes where every row of every part starts on such a boundary.
constexpr int VECTOR = WIDTH0 % 8 == 0 && WIDTH1 % 8 == 0 && WIDTH2 % 8 == 0 ? 8 : 4;
static_assert(WIDTH0 % 4 == 0 && WIDTH1 % 4 == 0 && WIDTH2 % 4 == 0, "widths are multiples of 4");

DEV void copy_vector(u16* to, const u16* from) {
  if constexpr (VECTOR == 8)
    *(uint4*)to = *(const uint4*)from;
  else
    *(uint2*)to = *(const uint2*)from;
}

KERNEL(THREADS)
KERNEL_NAME(const u16* part0, const u16* part1, const u16* part2, u16* out, int tokens) {
  const size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * VECTOR, token = at / COLS;
  const int column = (int)(at % COLS);
  grid_wait();
  grid_launch();
  if (at >= (size_t)tokens * COLS) return;
  if (column < WIDTH0)
    copy_vector(out + at, part0 + token * WIDTH0 + column);
  else if (column < WIDTH0 + WIDTH1)
    copy_vector(out + at, part1 + token * WIDTH1 + column - WIDTH0);
  else
    copy_vector(out + at, part2 + token * WIDTH2 + column - WIDTH0 - WIDTH1);
}
