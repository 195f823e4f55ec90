// `mbarrier`: a barrier in shared memory that counts arrivals of threads and bytes of bulk copies, phase after phase.
#include "machine.h"

namespace samp_emu {

PhaseBarrier& phase_barrier(u64* address, Site site) {
  Machine& m = machine();
  const auto found = m.phase_barriers.find(address);
  const u32 at = shared_address(address, site);
  if (found == m.phase_barriers.end()) fault(MISUSE, site, "the barrier at shared byte %u was never initialised", at);
  const PhaseBarrier& barrier = found->second;
  if (m.launch.checked && m.clocks[m.current->id][barrier.initializer] < barrier.initialized) {
    fault(RACE, site, "use of the barrier at shared byte %u without order after its initialisation by thread %d", at,
          barrier.initializer);
  }
  return found->second;
}

// Begins the next phase if nothing is missing from this one.
void complete_if_done(u64* address, PhaseBarrier& barrier) {
  if (barrier.pending || barrier.bytes) return;
  barrier.phase ^= 1;
  barrier.pending = barrier.arrivals;
  join(barrier.complete, barrier.arriving);
  auto& waiters = machine().barrier_waiters;
  for (size_t i = 0; i < waiters.size();) {
    if (waiters[i].barrier != address || waiters[i].parity == barrier.phase) {
      i++;
      continue;
    }
    wake(waiters[i].thread);
    waiters[i] = waiters.back();
    waiters.pop_back();
  }
}

void barrier_init(u64* address, u32 arrivals, Site site) {
  shared_at(shared_address(address, site), 8, 8, "barrier", site);
  if (arrivals == 0) fault(MISUSE, site, "a barrier of no arrivals");
  Machine& m = machine();
  const int thread = m.current->id;
  const u32 now = m.launch.checked ? m.clocks[thread][thread] : 0;
  m.phase_barriers[address] = PhaseBarrier{0, arrivals, arrivals, 0, thread, now, false, {}, {}};
}

// Of the barriers that this thread initialised.
void barrier_init_fence() {
  Machine& m = machine();
  for (auto& [address, barrier] : m.phase_barriers) barrier.fenced |= barrier.initializer == m.current->id;
}

void barrier_arrive(u64* address, u32 bytes, Site site) {
  PhaseBarrier& barrier = phase_barrier(address, site);
  if (!barrier.pending) fault(MISUSE, site, "more than %u arrivals in one phase", barrier.arrivals);
  release(machine().current->id, barrier.arriving);
  barrier.bytes += bytes;
  barrier.pending--;
  complete_if_done(address, barrier);
}

void barrier_wait(u64* address, u32 parity, Site site) {
  Machine& m = machine();
  PhaseBarrier& barrier = phase_barrier(address, site);
  if (barrier.phase == parity) {
    m.barrier_waiters.push_back({m.current->id, address, parity});
    wait_for("barrier_wait", site);
  }
  acquire(m.current->id, barrier.complete);
}

}  // namespace samp_emu
