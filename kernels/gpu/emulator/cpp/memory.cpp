// What a kernel may touch: shared memory up to its size, the launch's regions of global memory, its own stack.
#include "machine.h"

namespace samp_emu {

u8* shared_at(u32 address, u32 bytes, u32 alignment, const char* what, Site site) {
  const Machine& m = machine();
  if (address % alignment) fault(ALIGNMENT, site, "%s: shared address %u is no multiple of %u", what, address, alignment);
  if (address + (u64)bytes > m.launch.shared_bytes) {
    fault(BOUNDS, site, "%s: shared bytes %u..%u of %llu", what, address, address + bytes, m.launch.shared_bytes);
  }
  return m.shared + address;
}

u32 shared_address(const void* address, Site site) {
  const Machine& m = machine();
  const u64 offset = (u64)((const u8*)address - m.shared);
  // One past the end may be computed, as anywhere in C++.
  if (offset > m.launch.shared_bytes) {
    fault(BOUNDS, site, "an address %lld bytes into shared memory of %llu", (long long)offset, m.launch.shared_bytes);
  }
  return (u32)offset;
}

void misaligned(const void* address, int alignment, Site site) {
  fault(ALIGNMENT, site, "%p is no multiple of %d", address, alignment);
}

// The region whose end is nearest, for the message.
static void out_of_bounds(const u8* address, u64 bytes, bool write, Site site) {
  const Machine& m = machine();
  const Region* nearest = nullptr;
  u64 distance = ~0ull;
  for (u64 i = 0; i < m.launch.region_count; i++) {
    const Region& r = m.launch.regions[i];
    if (address >= r.start && address + bytes <= r.start + r.bytes) {
      fault(BOUNDS, site, "writes %llu bytes at byte %lld of region %llu, which may only be read", bytes,
            (long long)(address - r.start), i);
    }
    const u64 away = address < r.start ? (u64)(r.start - address) : (u64)(address - r.start);
    if (away < distance) distance = away, nearest = &r;
  }
  if (!nearest) fault(BOUNDS, site, "%s global memory, of which the launch has none", write ? "writes" : "reads");
  fault(BOUNDS, site, "%s %llu bytes at byte %lld of region %lld, which has %llu", write ? "writes" : "reads", bytes,
        (long long)(address - nearest->start), (long long)(nearest - m.launch.regions), nearest->bytes);
}

constexpr u64 STACK_REACH = 128 << 10;

void touch(const void* pointer, u64 bytes, bool write, Site site, bool atomic) {
  Machine& m = machine();
  if (!m.launch.checked || !m.current) return;
  const u8* address = (const u8*)pointer;
  // The thread's own stack lies above this very frame.
  const u8* frame = (const u8*)__builtin_frame_address(0);
  if (address >= frame && address < frame + STACK_REACH) return;
  const u64 offset = (u64)(address - m.shared);
  // Far beyond the launch's shared memory there is nothing else, so that overruns are seen as such.
  if (offset < 256 << 10) {
    if (offset + bytes > m.launch.shared_bytes) {
      fault(BOUNDS, site, "%s shared bytes %llu..%llu of %llu", write ? "writes" : "reads", offset, offset + bytes,
            m.launch.shared_bytes);
    }
    return access_by_thread(m.current->id, (u32)offset, (u32)bytes, write, site, atomic);
  }
  for (u64 i = 0; i < m.launch.region_count; i++) {
    const Region& r = m.launch.regions[i];
    const bool inside = address >= r.start && address + bytes <= r.start + r.bytes;
    if (inside && (!write || r.writable)) return access_global(i, address, bytes, write, site, atomic);
  }
  // Tables of constants, and what the runtime tells of the launch.
  const Entry& entry = *m.launch.entry;
  if (address >= entry.image && address < entry.image_end && !write) return;
  if (address >= (const u8*)&m.view && address < (const u8*)(&m.view + 1) && !write) return;
  out_of_bounds(address, bytes, write, site);
}

void touch_instruction(const void* address, u64 bytes, int alignment, bool write, const void* instruction) {
  if ((size_t)address % alignment) misaligned(address, alignment, Site{nullptr, 0, instruction});
  touch(address, bytes, write, Site{nullptr, 0, instruction});
}

u32 atomic_add_u32(u32* address, u32 value, Site site) {
  touch(address, 4, true, site, true);
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

// Blocks run one after another, so that no other thread comes between.
float atomic_add_f32(float* address, float value, Site site) {
  touch(address, 4, true, site, true);
  const float before = *address;
  *address = before + value;
  return before;
}

}  // namespace samp_emu
