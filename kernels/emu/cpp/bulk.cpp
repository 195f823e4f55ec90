// The bulk copy engine: `cp.async.bulk`, plain and of boxes of a matrix. Copies run in any order, whenever the scheduler
// likes, and tell a barrier when they are done.
#include <cstring>

#include "machine.h"

namespace samp_emu {

// The 128-byte swizzle: 16-byte chunk c of row r of 128 bytes lies at chunk c ^ (r % 8).
u32 swizzled(u32 address) { return address ^ (address >> 7 & 7) << 4; }

static u64 bytes_of(const TensorMap& map) { return (u64)map.box_columns * map.box_rows * map.element_bytes; }

// One element; what lies outside the matrix is zero.
static void copy_element(const BulkCopy& copy, u8* to, u32 box_row, u32 box_column) {
  const TensorMap& map = copy.from;
  const long long row = (long long)copy.row + box_row, column = (long long)copy.column + box_column;
  const bool inside = row >= 0 && column >= 0 && row < (long long)map.rows && column < (long long)map.columns;
  if (inside) memcpy(to, map.base + row * map.stride + column * map.element_bytes, map.element_bytes);
  else memset(to, 0, map.element_bytes);
}

static void run(const BulkCopy& copy) {
  Machine& m = machine();
  const TensorMap& map = copy.from;
  const u32 base = (u32)(copy.to - m.shared), time = next_time(COPY_ENGINE);
  const u32 row_bytes = map.box_columns * map.element_bytes;
  for (u32 row = 0; row < map.box_rows; row++) {
    for (u32 column = 0; column < map.box_columns; column++) {
      u32 to = base + row * row_bytes + column * map.element_bytes;
      if (map.swizzle == 128) to = swizzled(to);
      copy_element(copy, m.shared + to, row, column);
    }
  }
  // Swizzling moves chunks within the box only.
  access_by_agent(COPY_ENGINE, copy.clock, time, base, (u32)bytes_of(map), true);
  m.stats.copied_bytes += bytes_of(map);
  PhaseBarrier& barrier = m.phase_barriers.at(copy.barrier);
  if (m.launch.checked) {
    barrier.arriving.resize(m.threads + 2);
    barrier.arriving[clock_index(COPY_ENGINE)] = time;
  }
  barrier.bytes -= (long long)bytes_of(map);
  complete_if_done(copy.barrier, barrier);
}

void run_a_bulk_copy() {
  auto& copies = machine().bulk_copies;
  const size_t chosen = random_bits() % copies.size();
  const BulkCopy copy = std::move(copies[chosen]);
  copies.erase(copies.begin() + (long)chosen);
  run(copy);
}

static void issue(BulkCopy copy, Site site) {
  Machine& m = machine();
  if (!phase_barrier(copy.barrier, site).fenced) {
    fault(MISUSE, site, "a bulk copy tells a barrier that was initialised without barrier_init_fence");
  }
  if (m.launch.checked) copy.clock = m.clocks[m.current->id];
  if (happens_early()) run(copy);
  else m.bulk_copies.push_back(std::move(copy));
}

void bulk_copy(void* to, const void* from, u32 bytes, u64* barrier, Site site) {
  if (bytes % 16 || (size_t)from % 16) fault(ALIGNMENT, site, "bulk_copy: %u bytes from %p are not in units of 16", bytes, from);
  shared_at(shared_address(to, site), bytes, 16, "bulk_copy", site);
  touch(from, bytes, false, site);
  issue({(u8*)to, TensorMap{(const u8*)from, bytes / 16, 1, bytes, bytes / 16, 1, 16, 0}, 0, 0, barrier, {}}, site);
}

void tensor_copy(void* to, const TensorMap* from, int column, int row, u64* barrier, Site site) {
  const u32 alignment = from->swizzle == 128 ? 1024 : 128;
  shared_at(shared_address(to, site), (u32)bytes_of(*from), alignment, "tensor_copy", site);
  // One byte for all: what lies outside the matrix is not read.
  touch(from->base, 1, false, site);
  issue({(u8*)to, *from, column, row, barrier, {}}, site);
}

}  // namespace samp_emu
