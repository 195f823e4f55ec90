// The bulk copy engine: `cp.async.bulk`. Copies run in any order, whenever the scheduler likes, and tell a barrier when they
// are done.
#include <cstring>

#include "machine.h"

namespace samp_emu {

static void run(const BulkCopy& copy) {
  Machine& m = machine();
  const u32 to = (u32)(copy.to - m.shared), time = next_time(COPY_ENGINE);
  memcpy(copy.to, copy.from, copy.bytes);
  access_by_agent(COPY_ENGINE, copy.clock, time, to, copy.bytes, true);
  m.stats.copied_bytes += copy.bytes;
  PhaseBarrier& barrier = m.phase_barriers.at(copy.barrier);
  if (m.launch.checked) {
    barrier.arriving.resize(m.threads + 2);
    barrier.arriving[clock_index(COPY_ENGINE)] = time;
  }
  barrier.bytes -= copy.bytes;
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
  issue({(u8*)to, from, bytes, barrier, {}}, site);
}

}  // namespace samp_emu
