// Order on global memory in checked builds: who reads or overwrites what another thread stored must have been told of it.
//
// Within a block barriers tell, as on shared memory. Between blocks a counter does (PTX ISA, "Memory Consistency Model",
// release and acquire patterns): a thread that knows of the stores fences, then adds to the counter; a thread of another
// block adds to it later, then fences; whoever knows of that fence knows of the stores. A thread that fences before the
// barrier which tells it of the others' stores hands on its own alone.
//
// Between launches `grid_wait` does: where launches overlap, a thread must not touch memory before, unless it is constant.
//
// Not seen: stores to what another block has read; atomic accesses beside plain ones; counters that are only loaded, or
// that hand on what a third block told. Blocks run one after another, so that only what this order of them makes happen is
// looked at, and a thread that spins on a counter would never end.
#include <cstdlib>

#include "machine.h"

namespace samp_emu {

// The time of an acquisition whose fence is still to come.
constexpr u32 NEVER = ~0u;

void Unreserve::operator()(Stored* stored) const { free(stored); }

void prepare_order() {
  Machine& m = machine();
  if (!m.launch.checked) return;
  m.order = {};
  m.order.stored.resize(m.launch.region_count);
}

void prepare_order_of_block(u32 block) {
  Machine& m = machine();
  if (!m.launch.checked) return;
  m.order.block = block;
  m.order.fenced.assign(m.threads, {});
  m.order.acquires.clear();
  m.order.waited.assign(m.threads, false);
}

// Whether the thread has been told of a store.
static bool knows(int thread, const Stored& s) {
  const Machine& m = machine();
  const Clock& clock = m.clocks[thread];
  if (s.block == 0) return true;
  if (s.block == m.order.block && clock[s.thread] >= s.time) return true;
  for (const Acquire& a : m.order.acquires) {
    if (clock[a.thread] < a.time) continue;
    const std::vector<Release>& releases = m.order.releases.at(a.counter);
    for (size_t i = 0; i < a.count; i++) {
      if (releases[i].block == s.block && releases[i].clock[s.thread] >= s.time) return true;
    }
  }
  return false;
}

// A thread adds to a counter: it hands on what it knew at its last fence, and will know what others have handed on.
static void exchange(const void* counter) {
  GlobalOrder& order = machine().order;
  const int thread = machine().current->id;
  std::vector<Release>& releases = order.releases[counter];
  order.acquires.push_back({counter, releases.size(), thread, NEVER});
  if (!order.fenced[thread].empty()) releases.push_back({order.block, order.fenced[thread]});
}

// The region's stores; zeros, which take memory only where they are touched, to begin with.
static Stored* reserve(u64 region) {
  Machine& m = machine();
  auto& stored = m.order.stored[region];
  if (!stored) stored.reset((Stored*)calloc(m.launch.regions[region].bytes, sizeof(Stored)));
  if (!stored) abort();
  return stored.get();
}

static void check(const Stored& s, u64 region, u64 offset, bool write, Site site) {
  const Machine& m = machine();
  const int thread = m.current->id;
  if (knows(thread, s)) return;
  const uint3 grid = m.launch.grid;
  const u32 block = s.block - 1;
  fault(RACE, site, "%s byte %llu of region %llu, stored by thread %d of block (%u, %u, %u), of which it has not been told",
        write ? "writes" : "reads", offset, region, s.thread, block % grid.x, block / grid.x % grid.y,
        block / grid.x / grid.y);
}

void access_global(u64 region, const u8* address, u64 bytes, bool write, Site site, bool atomic) {
  Machine& m = machine();
  m.stats.checked++;
  const Region& r = m.launch.regions[region];
  const int thread = m.current->id;
  if (m.launch.overlaps && !r.constant && !m.order.waited[thread]) {
    fault(RACE, site, "%s region %llu before grid_wait, when the launch ahead may still be running",
          write ? "writes" : "reads", region);
  }
  if (atomic) return exchange(address);
  if (!write && !m.order.stored[region]) return;
  Stored* stored = reserve(region);
  const Stored own = {m.order.block, m.clocks[thread][thread], (u16)thread};
  const u64 first = (u64)(address - r.start);
  for (u64 i = first; i < first + bytes; i++) {
    check(stored[i], region, i, write, site);
    if (write) stored[i] = own;
  }
}

void fence_device() {
  Machine& m = machine();
  if (!m.launch.checked) return;
  const int thread = m.current->id;
  Clock& clock = m.clocks[thread];
  m.order.fenced[thread] = clock;
  clock[thread]++;  // stores from here on are later than the fence
  for (Acquire& a : m.order.acquires) {
    if (a.thread == thread && a.time == NEVER) a.time = clock[thread];
  }
}

void grid_wait() {
  Machine& m = machine();
  if (m.launch.checked) m.order.waited[m.current->id] = true;
}

}  // namespace samp_emu
