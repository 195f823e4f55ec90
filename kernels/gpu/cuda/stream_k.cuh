// Work shared out evenly over blocks, whatever the number of row groups: stream-K.
//
// A group of rows takes PARTS parts, one after another along the columns. All groups' parts stand in one line, and every
// block takes an equal range of it: the end of one group, whole groups, the beginning of another. Where several blocks hold
// parts of one group, each leaves its sums in the workspace; the last to arrive adds them in the order of the blocks, so
// that the same launch always gives the same bits.
#pragma once
#include "dev.cuh"

// Zeros between launches, apart from the sums.
struct Workspace {
  float* sums;   // [token tiles][blocks][2][sums of a group]
  u32* arrived;  // [token tiles][groups], parts of the group that are done
};

// One block's range of `groups` groups of `parts` parts.
struct WorkRange {
  int parts, total;  // total x gridDim.x is less than 2^32

  DEV WorkRange(int groups, int parts) : parts(parts), total(groups * parts) {}
  DEV int begin(int block) const { return (int)((u32)block * (u32)total / gridDim.x); }
  DEV int end(int block) const { return begin(block + 1); }
};

// Adds up the sums of one group over all blocks that hold some of it. All `THREADS` threads that hold sums call it, each
// with its own; `sync` is their barrier, `flag` a word of shared memory. True if this block holds the result now.
template <int COUNT, int THREADS, class Sync>
DEV bool fixup(float (&sums)[COUNT], const Workspace& workspace, const WorkRange& range, int group, int thread, u32* flag,
                  Sync sync) {
  const int first = group * range.parts, last = first + range.parts;
  const int begin = range.begin(blockIdx.x), end = range.end(blockIdx.x);
  if (begin <= first && last <= end) return true;

  const auto slot = [&](int block) {
    const int which = range.begin(block) / range.parts == group ? 0 : 1;
    return workspace.sums + (((size_t)blockIdx.y * gridDim.x + block) * 2 + which) * (COUNT * THREADS) + thread;
  };
  float* own = slot(blockIdx.x);
#pragma unroll
  for (int i = 0; i < COUNT; i++) own[i * THREADS] = sums[i];
  sync();
  u32* arrived = workspace.arrived + (size_t)blockIdx.y * (range.total / range.parts) + group;
  if (thread == 0) {
    const int held = (end < last ? end : last) - (begin > first ? begin : first);
    // One thread's fences serve all: the barrier before tells it of the others' sums, the one after tells them what it heard.
    fence_device();
    const bool is_last = atomic_add(arrived, held) + held == (u32)range.parts;
    if (is_last) {
      fence_device();
      *arrived = 0;
    }
    *flag = is_last;
  }
  sync();
  if (*flag == 0) return false;

#pragma unroll
  for (int i = 0; i < COUNT; i++) sums[i] = 0;
  int block = (int)((u32)first * gridDim.x / (u32)range.total);
  while (range.end(block) <= first) block++;
  for (; block < (int)gridDim.x && range.begin(block) < last; block++) {
    const float* part = slot(block);
#pragma unroll
    for (int i = 0; i < COUNT; i++) sums[i] += load_fresh(part + i * THREADS);
  }
  return true;
}
