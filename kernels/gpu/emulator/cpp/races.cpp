// Races on shared memory, by vector clocks (Mattern 1988): every thread counts its own releases and knows how far it has
// heard of the others'. An access that does not know of an earlier conflicting one races with it.
#include "machine.h"

namespace samp_emu {

constexpr u16 NOBODY = 0xffff;
// The time of a write by `copy16` that has not been waited for: later than any clock.
constexpr u32 PENDING = 0x7fffffff;

Shadow::Shadow() : writer(NOBODY), adder(NOBODY), readers{NOBODY, NOBODY} {}

int clock_index(Agent agent) { return machine().threads + agent; }

u32 next_time(Agent agent) { return ++machine().agent_clocks[agent]; }

void prepare_races() {
  Machine& m = machine();
  if (!m.launch.checked) return;
  m.shadows.assign(m.launch.shared_bytes, Shadow());
  m.clocks.assign(m.threads, Clock(m.threads + 2));
  for (int i = 0; i < m.threads; i++) m.clocks[i][i] = 1;
  m.fences.assign(m.threads, 0);
  m.agent_clocks[0] = m.agent_clocks[1] = 0;
}

namespace {

struct Access {
  int who;
  const Clock& clock;
  u32 time;
  bool write, atomic, by_agent;
  Site site;
};

[[noreturn]] void race(const char* what, int other, const Access& a, u32 offset) {
  const Machine& m = machine();
  const auto name = [&](int who) { return who < m.threads ? "thread" : "engine"; };
  fault(RACE, a.site, "%s at shared byte %u between %s %d and %s %d", what, offset, name(other), other, name(a.who), a.who);
}

bool knows(const Access& a, u16 other, u32 time) { return other == NOBODY || other == a.who || a.clock[other] >= time; }

void check(const Shadow& s, const Access& a, u32 offset) {
  const Machine& m = machine();
  if (s.writer == a.who && s.write_time == PENDING) race("access before the copy has been waited for", s.writer, a, offset);
  if (!knows(a, s.writer, s.write_time)) race(a.write ? "write after write" : "read after write", s.writer, a, offset);
  if (!a.atomic && !knows(a, s.adder, s.add_time)) race("plain access after an atomic one", s.adder, a, offset);
  for (int i = 0; a.write && i < 2; i++) {
    if (!knows(a, s.readers[i], s.read_times[i])) race("write after read", s.readers[i], a, offset);
  }
  const bool by_thread = s.writer < m.threads;
  if (a.by_agent && by_thread && m.fences[s.writer] == s.writer_fences) {
    race("asynchronous access without fence_async", s.writer, a, offset);
  }
}

void record(Shadow& s, const Access& a) {
  const Machine& m = machine();
  if (a.atomic) {
    // Earlier plain accesses still count for those to come, which may not know of them.
    s.adder = (u16)a.who;
    s.add_time = a.time;
    return;
  }
  if (a.write) {
    s.adder = NOBODY;
    s.writer = (u16)a.who;
    s.write_time = a.time;
    s.writer_fences = a.by_agent ? 0 : m.fences[a.who];
    s.readers[0] = s.readers[1] = NOBODY;
    return;
  }
  // Two of the readers are remembered, the later ones at random.
  const bool first = s.readers[0] == a.who || s.readers[0] == NOBODY;
  const int slot = first || (s.readers[1] != NOBODY && s.readers[1] != a.who && random_bits() & 1) ? 0 : 1;
  s.readers[slot] = (u16)a.who;
  s.read_times[slot] = a.time;
}

void access(const Access& a, u32 offset, u32 bytes) {
  Machine& m = machine();
  m.stats.checked++;
  for (u32 i = offset; i < offset + bytes; i++) {
    check(m.shadows[i], a, i);
    record(m.shadows[i], a);
  }
}

}  // namespace

void access_by_thread(int thread, u32 offset, u32 bytes, bool write, Site site, bool atomic) {
  const Machine& m = machine();
  if (!m.launch.checked) return;
  const Clock& clock = m.clocks[thread];
  access({thread, clock, clock[thread], write, atomic, false, site}, offset, bytes);
}

void access_by_agent(Agent agent, const Clock& clock, u32 time, u32 offset, u32 bytes, bool write) {
  if (!machine().launch.checked) return;
  access({clock_index(agent), clock, time, write, false, true, Site{}}, offset, bytes);
}

void pending_copy(int thread, u32 offset, Site site) {
  Machine& m = machine();
  if (!m.launch.checked) return;
  access_by_thread(thread, offset, 16, true, site);
  for (u32 i = offset; i < offset + 16; i++) m.shadows[i].write_time = PENDING;
}

void finished_copy(int thread, u32 offset) {
  Machine& m = machine();
  if (!m.launch.checked) return;
  for (u32 i = offset; i < offset + 16; i++) {
    if (m.shadows[i].writer == thread) m.shadows[i].write_time = m.clocks[thread][thread];
  }
}

void join(Clock& into, const Clock& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (size_t i = 0; i < from.size(); i++) into[i] = into[i] > from[i] ? into[i] : from[i];
}

void join_all(const int* threads, int count) {
  Machine& m = machine();
  if (!m.launch.checked || !count) return;
  Clock all = m.clocks[threads[0]];
  for (int i = 1; i < count; i++) join(all, m.clocks[threads[i]]);
  for (int i = 0; i < count; i++) {
    m.clocks[threads[i]] = all;
    m.clocks[threads[i]][threads[i]]++;
  }
}

void release(int thread, Clock& into) {
  Machine& m = machine();
  if (!m.launch.checked) return;
  join(into, m.clocks[thread]);
  m.clocks[thread][thread]++;
}

void acquire(int thread, const Clock& from) {
  Machine& m = machine();
  if (m.launch.checked) join(m.clocks[thread], from);
}

void fence_async() {
  Machine& m = machine();
  if (m.launch.checked) m.fences[m.current->id]++;
}

}  // namespace samp_emu
