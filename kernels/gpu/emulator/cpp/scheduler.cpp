// The scheduler: which thread runs next is random, yet the same for the same seed.
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "machine.h"

namespace samp_emu {

Machine& machine() {
  thread_local Machine machine;
  return machine;
}

// Xorshift (Marsaglia 2003).
u32 random_bits() {
  u64& r = machine().random;
  r ^= r << 13, r ^= r >> 7, r ^= r << 17;
  return (u32)(r >> 16);
}

bool happens_early() {
  const u32 mode = machine().launch.async_mode;
  return mode == EARLY || (mode == EITHER && (random_bits() & 1));
}

// The index of a random set bit.
static int random_bit(u32 mask) {
  const u32 turn = random_bits() & 31;
  const u32 turned = mask >> turn | mask << (-turn & 31);
  return (int)((__builtin_ctz(turned) + turn) & 31);
}

void wake(int id) {
  Machine& m = machine();
  Thread& thread = m.fibers[id];
  thread.state = State::READY;
  m.ready_lanes[thread.warp] |= 1u << thread.lane;
  m.ready_warps |= 1u << thread.warp;
}

[[noreturn]] static void deadlock() {
  std::string_view separator = ":";
  char waiting[256] = "";
  int shown = 0;
  Site site{};
  for (const Thread& thread : machine().fibers) {
    if (thread.state != State::WAITING || shown == 5) continue;
    if (shown++ == 0) site = thread.site;
    const size_t used = strlen(waiting);
    snprintf(waiting + used, sizeof waiting - used, "%s thread %d waits at %s, line %d", separator.data(), thread.id,
             thread.waits_for, thread.site.line);
    separator = ";";
  }
  fault(DEADLOCK, site, "no thread can go on%s", waiting);
}

// Takes a ready thread off the sets, most often of the warp that ran last.
static Thread* pick() {
  Machine& m = machine();
  const bool stay = m.ready_warps >> m.current_warp & 1;
  if (!stay || random_bits() % 8 == 0) m.current_warp = random_bit(m.ready_warps);
  u32& lanes = m.ready_lanes[m.current_warp];
  const int lane = random_bit(lanes);
  lanes &= ~(1u << lane);
  if (!lanes) m.ready_warps &= ~(1u << m.current_warp);
  return &m.fibers[m.current_warp * WARP + lane];
}

void schedule() {
  Machine& m = machine();
  while (!m.bulk_copies.empty() && (!m.ready_warps || random_bits() % 8 == 0)) run_a_bulk_copy();
  if (!m.ready_warps) deadlock();
  Thread *from = m.current, *to = pick();
  if (to == from) return;
  m.stats.switches++;
  m.current = to;
  m.view.thread = *to;
  switch_fibers(&from->stack_pointer, to->stack_pointer);
}

void wait_for(const char* what, Site site) {
  Thread* thread = machine().current;
  thread->state = State::WAITING;
  thread->waits_for = what;
  thread->site = site;
  schedule();
}

void fault(Kind kind, Site site, const char* format, ...) {
  Machine& m = machine();
  FaultRecord& f = m.fault;
  f.kind = kind;
  f.block = m.view.block;
  f.thread = m.current ? m.current->id : -1;
  f.line = site.line;
  f.instruction = site.instruction ? (u64)((const u8*)site.instruction - (const u8*)m.launch.entry->image) : 0;
  const char* slash = site.file ? strrchr(site.file, '/') : nullptr;
  snprintf(f.file, sizeof f.file, "%s", slash ? slash + 1 : site.file ? site.file : "");
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(f.what, sizeof f.what, format, arguments);
  va_end(arguments);
  leave_fibers();
}

}  // namespace samp_emu
