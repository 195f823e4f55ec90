// Launches: every block of the grid in random order, each from poisoned shared memory; and what the Rust side calls.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "machine.h"

namespace samp_emu {

constexpr size_t SHARED = 256 << 10, GUARD = 64 << 10, PAGE = 4096;

// Shared memory with unmapped space on both sides.
static u8* reserve_shared() {
  void* all = mmap(nullptr, SHARED + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) abort();
  u8* shared = (u8*)all + GUARD;
  if (mprotect(shared, SHARED, PROT_READ | PROT_WRITE) != 0) abort();
  return shared;
}

Machine::~Machine() {
  release_stacks(stacks);
  if (shared) munmap(shared - GUARD, SHARED + 2 * GUARD);
}

// What a fiber runs.
static void thread_main() {
  Machine& m = machine();
  m.launch.entry->run(m.launch.parameters);
  copy_wait(0);
  m.current->state = State::DONE;
  thread_exits();
  if (m.live == 0) {
    while (!m.bulk_copies.empty()) run_a_bulk_copy();
    leave_fibers();
  }
  schedule();
  abort();
}

static void reset_block(Machine& m) {
  const int warps = (m.threads + WARP - 1) / WARP, warpgroups = (m.threads + WARPGROUP - 1) / WARPGROUP;
  m.live = m.threads;
  m.ready_warps = 0;
  memset(m.ready_lanes, 0, sizeof m.ready_lanes);
  memset(m.shared, 0xff, m.launch.shared_bytes);
  m.live_lanes.assign(warps, WARP);
  if (m.threads % WARP) m.live_lanes.back() = m.threads % WARP;
  m.warp_collectives.assign(warps, {});
  m.warpgroup_collectives.assign(warpgroups, {});
  m.warpgroups.assign(warpgroups, {});
  for (BlockBarrier& barrier : m.barriers) barrier = {};
  m.phase_barriers.clear();
  m.barrier_waiters.clear();
  m.bulk_copies.clear();
  prepare_races();
}

static void run_block(Machine& m, u32 number) {
  const uint3 grid = m.launch.grid;
  m.view.block = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
  reset_block(m);
  prepare_order_of_block(number + 1);
  const uint3 size = m.launch.block;
  for (int i = 0; i < m.threads; i++) {
    Thread& thread = m.fibers[i];
    const u32 id = (u32)i;
    thread.index = {id % size.x, id / size.x % size.y, id / size.x / size.y};
    thread.id = i, thread.warp = i / WARP, thread.lane = i % WARP;
    thread.open.clear();
    thread.groups.clear();
    prepare_fiber(thread, thread_main);
    wake(i);
  }
  // Any thread will do to begin with: each runs until it first has to wait.
  const int first = (int)(random_bits() % (u32)m.threads);
  m.ready_lanes[first / WARP] &= ~(1u << first % WARP);
  if (!m.ready_lanes[first / WARP]) m.ready_warps &= ~(1u << first / WARP);
  m.current_warp = first / WARP;
  m.current = &m.fibers[first];
  m.view.thread = *m.current;
  run_fibers();
  m.current = nullptr;
  m.stats.blocks++;
}

// The blocks' numbers in random order.
static std::vector<u32> shuffled(u32 count) {
  std::vector<u32> order(count);
  for (u32 i = 0; i < count; i++) {
    const u32 j = random_bits() % (i + 1);
    order[i] = order[j];
    order[j] = i;
  }
  return order;
}

static bool launch(const Launch& request) {
  Machine& m = machine();
  m.launch = request;
  m.stats = {};
  m.fault = {};
  m.fault.kind = ~0u;
  m.random = (request.seed + 1) * 0x9e3779b97f4a7c15ull | 1;
  m.threads = (int)(request.block.x * request.block.y * request.block.z);
  if (!m.shared) m.shared = reserve_shared();
  prepare_stacks(m.threads);
  m.fibers.resize(m.threads);
  m.view.shared = m.shared;
  m.view.grid_size = request.grid;
  m.view.block_size = request.block;
  prepare_order();
  const uint3 grid = request.grid;
  for (u32 number : shuffled(grid.x * grid.y * grid.z)) {
    run_block(m, number);
    if (m.fault.kind != ~0u) return false;
  }
  return true;
}

static View* view() { return &machine().view; }

static constexpr Api API = {
    view,           touch_instruction, block_barrier,      warp_barrier,       shuffle,            ballot,
    atomic_add_u32, atomic_add_f32,    fence_device,       grid_wait,          shared_address,     load_matrix,
    multiply,       copy16,            copy_commit,        copy_wait,          barrier_init,       barrier_init_fence,
    barrier_arrive, barrier_wait,      bulk_copy,          fence_async,        warpgroup_fence,    warpgroup_multiply,
    warpgroup_commit, warpgroup_wait,
};

}  // namespace samp_emu

using namespace samp_emu;

extern "C" {

const Api* samp_emu_api() { return &API; }

// Returns false and fills `fault` where the launch failed. The sizes have been checked.
bool samp_emu_launch(const Launch* request, Stats* stats, FaultRecord* fault) {
  const bool fine = launch(*request);
  *stats = machine().stats;
  *fault = machine().fault;
  return fine;
}

// `bytes` of memory that end, up to 15 bytes, where an unmapped page begins. Null if there is none.
u8* samp_emu_allocate(u64 bytes) {
  const u64 pages = (bytes + PAGE - 1) / PAGE * PAGE, used = (bytes + 15) / 16 * 16;
  void* all = mmap(nullptr, pages + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  if (pages && mprotect((u8*)all + PAGE, pages, PROT_READ | PROT_WRITE) != 0) return nullptr;
  return (u8*)all + PAGE + pages - used;
}

void samp_emu_release(u8* start, u64 bytes) {
  const u64 pages = (bytes + PAGE - 1) / PAGE * PAGE, used = (bytes + 15) / 16 * 16;
  munmap(start + used - pages - PAGE, pages + 2 * PAGE);
}

}
