// What `-fsanitize=thread` calls before every load and store of a checked kernel. Linked into the kernel's shared object,
// itself not instrumented.
#include "api.h"

extern samp_emu::Api samp_emu_runtime;

#define SAMP_TOUCH(address, bytes, alignment, write) \
  samp_emu_runtime.touch(address, bytes, alignment, write, __builtin_return_address(0))
#define SAMP_ACCESS(bytes)                                                                \
  void __tsan_read##bytes(void* p) { SAMP_TOUCH(p, bytes, bytes, false); }                \
  void __tsan_write##bytes(void* p) { SAMP_TOUCH(p, bytes, bytes, true); }                \
  void __tsan_read_write##bytes(void* p) { SAMP_TOUCH(p, bytes, bytes, true); }           \
  void __tsan_volatile_read##bytes(void* p) { SAMP_TOUCH(p, bytes, bytes, false); }       \
  void __tsan_volatile_write##bytes(void* p) { SAMP_TOUCH(p, bytes, bytes, true); }       \
  void __tsan_unaligned_read##bytes(void* p) { SAMP_TOUCH(p, bytes, 1, false); }          \
  void __tsan_unaligned_write##bytes(void* p) { SAMP_TOUCH(p, bytes, 1, true); }          \
  void __tsan_unaligned_read_write##bytes(void* p) { SAMP_TOUCH(p, bytes, 1, true); }

extern "C" {

SAMP_ACCESS(1)
SAMP_ACCESS(2)
SAMP_ACCESS(4)
SAMP_ACCESS(8)
SAMP_ACCESS(16)

void __tsan_read_range(void* p, size_t bytes) { SAMP_TOUCH(p, bytes, 1, false); }
void __tsan_write_range(void* p, size_t bytes) { SAMP_TOUCH(p, bytes, 1, true); }

void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
  SAMP_TOUCH(from, bytes, 1, false);
  SAMP_TOUCH(to, bytes, 1, true);
  return __builtin_memcpy(to, from, bytes);
}

void* __tsan_memmove(void* to, const void* from, size_t bytes) {
  SAMP_TOUCH(from, bytes, 1, false);
  SAMP_TOUCH(to, bytes, 1, true);
  return __builtin_memmove(to, from, bytes);
}

void* __tsan_memset(void* to, int value, size_t bytes) {
  SAMP_TOUCH(to, bytes, 1, true);
  return __builtin_memset(to, value, bytes);
}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

}
