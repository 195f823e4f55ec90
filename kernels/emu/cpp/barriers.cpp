// `mbarrier`: a barrier in shared memory that counts arrivals of threads and bytes of bulk copies, phase after phase.
#include "machine.h"

namespace samp_emu {

PhaseBarrier& phase_barrier(u64* address, Site site) {
  auto& barriers = machine().phase_barriers;
  const auto found = barriers.find(address);
  if (found == barriers.end()) fault(MISUSE, site, "the barrier at shared byte %u was never initialised", shared_address(address, site));
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
  machine().phase_barriers[address] = PhaseBarrier{0, arrivals, arrivals, 0, {}, {}};
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
