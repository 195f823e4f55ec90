// `wgmma`: asynchronous products of 64 rows by a warpgroup (PTX ISA, "Register fragments and shared memory matrix
// layouts"). The left operand lies in registers, read when the product is issued; the right one in shared memory, in rows
// of 128 bytes along k with the 128-byte swizzle, read when the product happens.
#include <cmath>

#include "machine.h"
#include "numbers.h"

namespace samp_emu {

namespace {

constexpr int ROWS = 64, MAX_DEPTH = 32, MAX_COLUMNS = 256;

int depth_of(Element element) { return 32 / bytes_of(element); }

// The 128-byte swizzle: 16-byte chunk c of row r of 128 bytes lies at chunk c ^ (r % 8).
u32 swizzled(u32 address) { return address ^ (address >> 7 & 7) << 4; }

// The value at (row, k) of the right operand, whose rows are the result's columns.
float operand(const Product& p, int row, int k, u32 time) {
  const u64 descriptor = p.shape.b;
  const u32 start = (u32)(descriptor & 0x3fff) << 4, group_stride = (u32)(descriptor >> 32 & 0x3fff) << 4;
  const int bytes = bytes_of(p.shape.element);
  const u32 address = swizzled(start + row / 8 * group_stride + row % 8 * 128 + k * bytes);
  const u8* value = shared_at(address, bytes, bytes, "wgmma", Site{});
  access_by_agent(MATRIX_UNIT, p.clock, time, address, bytes, false);
  return from_element(p.shape.element, bytes == 1 ? *value : *(const u16*)value);
}

// Register i of lane 4g + t holds the t-th word of rows g (i even) or g + 8, of the first 16 bytes or, from i = 2, the next.
void read_a(const Product& p, float (&a)[ROWS][MAX_DEPTH]) {
  const int bytes = bytes_of(p.shape.element), values = 4 / bytes;
  for (int thread = 0; thread < WARPGROUP; thread++) {
    const int row = thread / WARP * 16 + thread % WARP / 4, column = thread % 4 * values;
    for (int i = 0; i < 4; i++) {
      float* to = &a[row + i % 2 * 8][column + i / 2 * 4 * values];
      for (int j = 0; j < values; j++) to[j] = from_element(p.shape.element, p.a[thread][i] >> j * 8 * bytes);
    }
  }
}

typedef float Row[MAX_COLUMNS];

void add_products(Row& sums, const float* a, const Row* b, int columns) {
  Row products = {};
  for (int k = 0; k < 16; k++) {
    for (int column = 0; column < columns; column++) products[column] += a[k] * b[k][column];
  }
  for (int column = 0; column < columns; column++) sums[column] += products[column];
}

// As the units add up products of E4M3: all numbers are aligned to the largest, of which 14 bits count, and what the others
// have below those is cut off (DeepSeek-V3 Technical Report, 3.5.2).
void add_aligned(Row& sums, const float* a, const Row* b, int columns) {
  Row plain, largest, unit, kept = {};
  for (int column = 0; column < columns; column++) {
    plain[column] = sums[column];
    largest[column] = std::fabs(sums[column]);
  }
  for (int k = 0; k < 32; k++) {
    for (int column = 0; column < columns; column++) {
      const float product = a[k] * b[k][column], magnitude = std::fabs(product);
      plain[column] += product;
      largest[column] = magnitude > largest[column] ? magnitude : largest[column];
    }
  }
  // What is added lest zeros have no unit is nothing to a product, which is no less than 2^-18.
  for (int column = 0; column < columns; column++) {
    unit[column] = float_of(bits_of(largest[column] + 0x1p-60f) & 0x7f800000) * 0x1p-13f;
  }
  const auto keep = [&](float number, int column) {
    kept[column] += std::floor(number / unit[column]);
  };
  for (int column = 0; column < columns; column++) keep(sums[column], column);
  for (int k = 0; k < 32; k++) {
    for (int column = 0; column < columns; column++) keep(a[k] * b[k][column], column);
  }
  for (int column = 0; column < columns; column++) {
    sums[column] = std::isfinite(plain[column]) ? kept[column] * unit[column] : plain[column];
  }
}

void run(const Product& p) {
  machine().stats.warpgroup_products++;
  static thread_local float a[ROWS][MAX_DEPTH];
  static thread_local Row b[MAX_DEPTH];
  const u32 time = next_time(MATRIX_UNIT);
  const int columns = p.shape.columns, depth = depth_of(p.shape.element);
  read_a(p, a);
  for (int column = 0; column < columns; column++) {
    for (int k = 0; k < depth; k++) b[k][column] = operand(p, column, k, time);
  }
  const auto add = p.shape.element == Element::E4m3 ? add_aligned : add_products;
  for (int row = 0; row < ROWS; row++) {
    const auto sum = [&](int column) -> float& {
      const int thread = row / 16 * WARP + row % 8 * 4 + column % 8 / 2;
      return p.sums[thread][column / 8 * 4 + row / 8 % 2 * 2 + column % 2];
    };
    Row sums;
    for (int column = 0; column < columns; column++) sums[column] = p.shape.add ? sum(column) : 0.0f;
    add(sums, a[row], b, columns);
    for (int column = 0; column < columns; column++) sum(column) = sums[column];
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
  if (!group.fenced) fault(MISUSE, first.site, "wgmma without wgmma_fence since the last commit or wait");
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
  group.fenced = false;
}

void wait(Collective& c) {
  Machine& m = machine();
  Warpgroup& group = m.warpgroups[c.threads[0] / WARPGROUP];
  const int left = *(int*)c.arguments[0];
  while ((int)group.groups.size() > left) {
    for (const Product& product : group.groups.front()) run(product);
    group.groups.pop_front();
  }
  group.fenced = false;
  if (!m.launch.checked) return;
  const int unit = clock_index(MATRIX_UNIT);
  for (int i = 0; i < c.arrived; i++) m.clocks[c.threads[i]][unit] = m.agent_clocks[MATRIX_UNIT];
}

}  // namespace

// The registers of a product are no longer written by other means. What is written between the fence and the product is
// not seen.
void warpgroup_fence(Site site) {
  warpgroup_collective("wgmma_fence", nullptr, site,
                       [](Collective& c) { machine().warpgroups[c.threads[0] / WARPGROUP].fenced = true; });
}

void warpgroup_multiply(const WarpgroupProduct* product, Site site) {
  Operands own{product, site};
  warpgroup_collective("wgmma", &own, site, issue);
}

void warpgroup_commit(Site site) { warpgroup_collective("wgmma_commit", nullptr, site, commit); }

void warpgroup_wait(int groups, Site site) { warpgroup_collective("wgmma_wait", &groups, site, wait); }

}  // namespace samp_emu
