// Barriers of threads, and operations that a whole warp or warpgroup takes part in.
#include <cstring>

#include "machine.h"

namespace samp_emu {

// The threads go on together; what each did before, all know now.
static void release_all(BlockBarrier& barrier) {
  join_all(barrier.threads.data(), (int)barrier.threads.size());
  for (int thread : barrier.threads) wake(thread);
  barrier.threads.clear();
}

void block_barrier(int id, int threads, Site site) {
  Machine& m = machine();
  if (id < 0 || id >= NAMED_BARRIERS) fault(MISUSE, site, "barrier %d: there are %d", id, NAMED_BARRIERS);
  if (threads % WARP != 0 || threads < 0) fault(MISUSE, site, "barrier %d: %d threads are not whole warps", id, threads);
  BlockBarrier& barrier = m.barriers[id];
  if (!barrier.threads.empty() && barrier.needed != threads) {
    fault(DIVERGENCE, site, "barrier %d: %d threads are awaited here, %d elsewhere", id, threads, barrier.needed);
  }
  barrier.needed = threads;
  barrier.threads.push_back(m.current->id);
  if ((int)barrier.threads.size() == (threads ? threads : m.live)) release_all(barrier);
  else m.current->state = State::WAITING;
  if (m.current->state == State::READY) return schedule();
  wait_for("barrier", site);
}

// Runs the operation and lets its threads go on.
static void execute(Collective& c) {
  c.execute(c);
  for (int i = 0; i < c.arrived; i++) wake(c.threads[i]);
  c.arrived = 0;
}

static void arrive(Collective& c, const char* name, int index, int needed, void* argument, Site site,
                   void (*operation)(Collective&)) {
  Machine& m = machine();
  m.stats.collectives++;
  if (c.arrived == 0) {
    c.name = name;
    c.line = site.line;
    c.execute = operation;
    memset(c.arguments, 0, sizeof c.arguments);
  } else if (c.execute != operation || c.line != site.line) {
    fault(DIVERGENCE, site, "%s meets other threads' %s of line %d", name, c.name, c.line);
  }
  c.arguments[index] = argument;
  c.threads[c.arrived++] = m.current->id;
  if (c.arrived == needed) {
    execute(c);
    schedule();
  } else {
    wait_for(name, site);
  }
}

void warp_collective(const char* name, void* argument, Site site, void (*operation)(Collective&), bool all_lanes) {
  Machine& m = machine();
  const int warp = m.current->warp, live = m.live_lanes[warp];
  if (all_lanes && live != WARP) fault(DIVERGENCE, site, "%s needs all 32 lanes; %d are left", name, live);
  arrive(m.warp_collectives[warp], name, m.current->lane, live, argument, site, operation);
}

void warpgroup_collective(const char* name, void* argument, Site site, void (*operation)(Collective&)) {
  Machine& m = machine();
  const int group = m.current->id / WARPGROUP;
  for (int warp = group * 4; warp < group * 4 + 4; warp++) {
    const int lanes = warp < (int)m.live_lanes.size() ? m.live_lanes[warp] : 0;
    if (lanes != WARP) fault(DIVERGENCE, site, "%s needs four whole warps; warp %d has %d lanes", name, warp, lanes);
  }
  arrive(m.warpgroup_collectives[group], name, m.current->id % WARPGROUP, WARPGROUP, argument, site, operation);
}

// Threads that have returned are awaited no longer.
void thread_exits() {
  Machine& m = machine();
  m.live--;
  const int live = --m.live_lanes[m.current->warp];
  Collective& c = m.warp_collectives[m.current->warp];
  if (c.arrived && c.arrived == live) execute(c);
  BlockBarrier& barrier = m.barriers[0];
  const int waiting = (int)barrier.threads.size();
  if (waiting && barrier.needed == 0 && waiting == m.live) release_all(barrier);
}

void warp_barrier(Site site) {
  warp_collective("warp_sync", nullptr, site, [](Collective& c) { join_all(c.threads, c.arrived); }, false);
}

struct Shuffle {
  u32 value, result;
  int from;
  Site site;
};

u32 shuffle(u32 value, int lane, Site site) {
  Shuffle own{value, 0, lane, site};
  const auto exchange = [](Collective& c) {
    for (int i = 0; i < WARP; i++) {
      auto* to = (Shuffle*)c.arguments[i];
      if (!to) continue;
      auto* from = (Shuffle*)c.arguments[to->from & 31];
      if (!from) fault(DIVERGENCE, to->site, "lane %d shuffles from lane %d, which has returned", i, to->from & 31);
      to->result = from->value;
    }
  };
  warp_collective("shuffle", &own, site, exchange, false);
  return own.result;
}

u32 ballot(bool vote, Site site) {
  u32 own = vote;
  const auto count = [](Collective& c) {
    u32 votes = 0;
    for (int i = 0; i < WARP; i++) {
      if (c.arguments[i]) votes |= *(u32*)c.arguments[i] << i;
    }
    for (int i = 0; i < WARP; i++) {
      if (c.arguments[i]) *(u32*)c.arguments[i] = votes;
    }
  };
  warp_collective("ballot", &own, site, count, false);
  return own;
}

}  // namespace samp_emu
