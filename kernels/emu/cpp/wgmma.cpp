// `wgmma`: asynchronous products of 64 rows by a warpgroup (PTX ISA, "Register fragments and shared memory matrix
// layouts"). The left operand lies in registers, read when the product is issued; the right one in shared memory, in rows
// of 64 16-bit values along k with the 128-byte swizzle, read when the product happens.
#include "machine.h"
#include "numbers.h"

namespace samp_emu {

namespace {

constexpr int ROWS = 64, DEPTH = 16, MAX_COLUMNS = 256;

// The value at (row, k) of the right operand, whose rows are the result's columns.
float operand(const Product& p, int row, int k, u32 time) {
  const u64 descriptor = p.shape.b;
  const u32 start = (u32)(descriptor & 0x3fff) << 4, group_stride = (u32)(descriptor >> 32 & 0x3fff) << 4;
  const u32 address = swizzled(start + row / 8 * group_stride + row % 8 * 128 + k * 2);
  const u16* bits = (const u16*)shared_at(address, 2, 2, "wgmma", Site{});
  access_by_agent(MATRIX_UNIT, p.clock, time, address, 2, false);
  return from_element(p.shape.element, *bits);
}

void read_a(const Product& p, float (&a)[ROWS][DEPTH]) {
  for (int thread = 0; thread < WARPGROUP; thread++) {
    const int row = thread / WARP * 16 + thread % WARP / 4, column = thread % 4 * 2;
    for (int i = 0; i < 8; i++) {
      const u16 bits = (u16)(p.a[thread][i / 2] >> i % 2 * 16);
      a[row + i / 2 % 2 * 8][column + i / 4 * 8 + i % 2] = from_element(p.shape.element, bits);
    }
  }
}

void run(const Product& p) {
  machine().stats.warpgroup_products++;
  static thread_local float a[ROWS][DEPTH], b[DEPTH][MAX_COLUMNS];
  const u32 time = next_time(MATRIX_UNIT);
  const int columns = p.shape.columns;
  read_a(p, a);
  for (int column = 0; column < columns; column++) {
    for (int k = 0; k < DEPTH; k++) b[k][column] = operand(p, column, k, time);
  }
  for (int row = 0; row < ROWS; row++) {
    float sums[MAX_COLUMNS] = {};
    for (int k = 0; k < DEPTH; k++) {
      for (int column = 0; column < columns; column++) sums[column] += a[row][k] * b[k][column];
    }
    for (int column = 0; column < columns; column++) {
      const int thread = row / 16 * WARP + row % 8 * 4 + column % 8 / 2;
      float& sum = p.sums[thread][column / 8 * 4 + row / 8 % 2 * 2 + column % 2];
      sum = (p.shape.add ? sum : 0.0f) + sums[column];
    }
  }
}

struct Operands {
  const WarpgroupProduct* product;
  Site site;
};

void check_operands(const WarpgroupProduct& p, const WarpgroupProduct& first, Site site) {
  const bool same = p.b == first.b && p.columns == first.columns && p.add == first.add;
  if (!same) fault(DIVERGENCE, site, "wgmma: the threads of the warpgroup name different operands");
  if (p.b >> 62 != 1) fault(MISUSE, site, "wgmma: the descriptor is not of the 128-byte swizzle");
  if (p.columns % 8 || p.columns > MAX_COLUMNS) fault(MISUSE, site, "wgmma: %d columns", p.columns);
}

// Products of one warpgroup take effect in order.
void issue(Collective& c) {
  Machine& m = machine();
  Warpgroup& group = m.warpgroups[c.threads[0] / WARPGROUP];
  const auto& first = *(Operands*)c.arguments[0];
  Product product;
  product.shape = *first.product;
  for (int i = 0; i < WARPGROUP; i++) {
    const WarpgroupProduct& p = *((Operands*)c.arguments[i])->product;
    check_operands(p, product.shape, first.site);
    product.sums[i] = p.sums;
    for (int r = 0; r < 4; r++) product.a[i][r] = p.a[r];
    if (m.launch.checked) join(product.clock, m.clocks[c.threads[i]]);
  }
  if (group.open.empty() && group.groups.empty() && happens_early()) run(product);
  else group.open.push_back(product);
}

void commit(Collective& c) {
  Warpgroup& group = machine().warpgroups[c.threads[0] / WARPGROUP];
  group.groups.push_back(std::move(group.open));
  group.open.clear();
}

void wait(Collective& c) {
  Machine& m = machine();
  Warpgroup& group = m.warpgroups[c.threads[0] / WARPGROUP];
  const int left = *(int*)c.arguments[0];
  while ((int)group.groups.size() > left) {
    for (const Product& product : group.groups.front()) run(product);
    group.groups.pop_front();
  }
  if (!m.launch.checked) return;
  const int unit = clock_index(MATRIX_UNIT);
  for (int i = 0; i < c.arrived; i++) m.clocks[c.threads[i]][unit] = m.agent_clocks[MATRIX_UNIT];
}

}  // namespace

void warpgroup_fence(Site site) {
  warpgroup_collective("wgmma_fence", nullptr, site, [](Collective&) {});
}

void warpgroup_multiply(const WarpgroupProduct* product, Site site) {
  Operands own{product, site};
  warpgroup_collective("wgmma", &own, site, issue);
}

void warpgroup_commit(Site site) { warpgroup_collective("wgmma_commit", nullptr, site, commit); }

void warpgroup_wait(int groups, Site site) { warpgroup_collective("wgmma_wait", &groups, site, wait); }

}  // namespace samp_emu
