// What a compiled kernel and the emulator's runtime know of each other. Both include it.
#pragma once

#include "types.cuh"

typedef __SIZE_TYPE__ size_t;

struct uint3 {
  u32 x, y, z;
};

namespace samp_emu {

// A place in a kernel's source; or, for an instrumented load or store, its instruction.
struct Site {
  const char* file;
  int line;
  const void* instruction;

  // As a default argument it names the line of the call.
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line, nullptr};
  }
};

// What a thread may know of itself.
struct ThreadView {
  uint3 index;
  int lane;
};

// What a running kernel may read of its launch.
struct View {
  uint3 block, grid_size, block_size;
  u8* shared;
  ThreadView thread;
};

// Names in capitals are left to the definitions that specialise kernels.
enum class Element : u32 { Half, Bfloat, E4m3 };

// One thread's part in an asynchronous warpgroup product.
struct WarpgroupProduct {
  float* sums;   // columns / 2
  const u32* a;  // four registers
  u64 b;         // descriptor
  int columns;
  Element element;
  bool add;  // to the sums; they are overwritten otherwise
};

// The runtime's functions, handed to a kernel's shared object when it is loaded.
struct Api {
  View* (*view)();
  void (*touch)(const void* address, u64 bytes, int alignment, bool write, const void* instruction);

  void (*block_barrier)(int id, int threads, Site site);
  void (*warp_barrier)(Site site);
  u32 (*shuffle)(u32 value, int lane, Site site);
  u32 (*ballot)(bool vote, Site site);
  u32 (*atomic_add_u32)(u32* address, u32 value, Site site);
  float (*atomic_add_f32)(float* address, float value, Site site);
  void (*fence_device)();
  void (*grid_wait)();

  u32 (*shared_address)(const void* address, Site site);
  void (*load_matrix)(u32* registers, int matrices, bool transposed, u32 address, Site site);
  void (*multiply)(float* sums, const u32* a, const u32* b, Element element, Site site);

  void (*copy16)(u32 to, const void* from, bool valid, Site site);
  void (*copy_commit)();
  void (*copy_wait)(int groups);

  void (*barrier_init)(u64* barrier, u32 arrivals, Site site);
  void (*barrier_init_fence)();
  void (*barrier_arrive)(u64* barrier, u32 bytes, Site site);
  void (*barrier_wait)(u64* barrier, u32 parity, Site site);
  void (*bulk_copy)(void* to, const void* from, u32 bytes, u64* barrier, Site site);
  void (*fence_async)();

  void (*warpgroup_fence)(Site site);
  void (*warpgroup_multiply)(const WarpgroupProduct* product, Site site);
  void (*warpgroup_commit)(Site site);
  void (*warpgroup_wait)(int groups, Site site);
};

// The kinds of `Parameter::kind`, in the order of the Rust enum.
enum class ParameterKind : u8 { Pointer, Integer, Float, Unknown };

// What a kernel's shared object says of itself when it is bound.
struct Entry {
  void (*run)(void** parameters);
  const ParameterKind* parameters;
  u64 parameter_count;
  u64 max_threads;
  const void *image, *image_end;  // where the shared object lies in memory
};

}  // namespace samp_emu
