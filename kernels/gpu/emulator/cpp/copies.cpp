// `cp.async`: copies of 16 bytes that a thread issues, commits in groups and waits for.
#include <cstring>

#include "machine.h"

namespace samp_emu {

static void run(Copy16& copy) {
  u8* to = machine().shared + copy.to;
  if (copy.valid) memcpy(to, copy.from, 16);
  else memset(to, 0, 16);
  copy.done = true;
}

void copy16(u32 to, const void* from, bool valid, Site site) {
  Machine& m = machine();
  shared_at(to, 16, 16, "copy16", site);
  if ((size_t)from % 16) misaligned(from, 16, site);
  if (valid) touch(from, 16, false, site);
  pending_copy(m.current->id, to, site);
  m.stats.copied_bytes += 16;
  Copy16 copy{to, from, valid, false};
  if (happens_early()) run(copy);
  m.current->open.push_back(copy);
}

void copy_commit() {
  Thread& thread = *machine().current;
  thread.groups.push_back(std::move(thread.open));
  thread.open.clear();
}

void copy_wait(int groups) {
  Thread& thread = *machine().current;
  while ((int)thread.groups.size() > groups) {
    for (Copy16& copy : thread.groups.front()) {
      if (!copy.done) run(copy);
      finished_copy(thread.id, copy.to);
    }
    thread.groups.pop_front();
  }
}

}  // namespace samp_emu
