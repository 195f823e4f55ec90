// Fibers: a stack for each emulated thread, and the switch between them.
#include <sys/mman.h>

#include <cstdlib>

#include "machine.h"

#ifndef __x86_64__
#error "the emulator switches stacks on x86-64 only"
#endif

namespace samp_emu {

// Saves what a callee must preserve on this stack, then goes on where the other one was saved.
extern "C" void samp_emu_switch(void** save, void* load);
asm(R"(
.text
.p2align 4
.type samp_emu_switch, @function
samp_emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size samp_emu_switch, . - samp_emu_switch
)");

constexpr size_t STACK = 128 << 10, GUARD = 4096;

void switch_fibers(void** save_stack_pointer, void* stack_pointer) {
  samp_emu_switch(save_stack_pointer, stack_pointer);
  // What other fibers changed must be read again.
  asm volatile("" ::: "memory");
}

// Stacks are reserved once; their pages take memory only when touched, and below each lies a page that faults.
void prepare_stacks(int count) {
  Machine& m = machine();
  if (!m.stacks) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* stacks = mmap(nullptr, STACK * MAX_THREADS, PROT_NONE, flags, -1, 0);
    if (stacks == MAP_FAILED) abort();
    m.stacks = (char*)stacks;
  }
  for (; m.stack_count < count; m.stack_count++) {
    char* stack = m.stacks + STACK * m.stack_count;
    if (mprotect(stack + GUARD, STACK - GUARD, PROT_READ | PROT_WRITE) != 0) abort();
  }
}

void release_stacks(char* stacks) {
  if (stacks) munmap(stacks, STACK * MAX_THREADS);
}

void prepare_fiber(Thread& thread, void (*entry)()) {
  char* top = machine().stacks + STACK * (thread.id + 1);
  // Tops at different places of a page keep the fibers' hot frames out of each other's cache sets.
  void** stack = (void**)(top - thread.id % 32 * 64);
  *--stack = nullptr;  // where `entry` would return to: 16-byte alignment is as after a call
  *--stack = (void*)entry;
  thread.stack_pointer = stack - 6;  // the six preserved registers, of any value
}

void run_fibers() {
  Machine& m = machine();
  switch_fibers(&m.main_stack_pointer, m.current->stack_pointer);
}

void leave_fibers() {
  void* abandoned;
  switch_fibers(&abandoned, machine().main_stack_pointer);
  abort();
}

}  // namespace samp_emu
