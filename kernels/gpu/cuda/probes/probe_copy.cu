// out = x, by 16-byte chunks that come through a ring of three stages, each chunk read by the thread after the one that
// copied it; chunks from `valid` on are zero. 64 threads, `turns` stages' worth. Shared memory: 3072 bytes.
#include "dev.cuh"

constexpr int STAGES = 3, CHUNKS = 64;

KERNEL(CHUNKS)
probe_copy(const u8* x, u8* out, int turns, int valid) {
  SHARED(shared);
  const int thread = threadIdx.x;
  const auto issue = [&](int turn) {
    const int chunk = turn * CHUNKS + thread;
    if (turn < turns) {
      copy16(smem(shared + (turn % STAGES * CHUNKS + thread) * 16), x + (size_t)chunk * 16, chunk < valid);
    }
    copy_commit();
  };
  for (int turn = 0; turn < STAGES - 1; turn++) issue(turn);
  for (int turn = 0; turn < turns; turn++) {
    copy_wait<STAGES - 2>();
    block_sync();
    // Everyone is done with the stage of the turn before.
    issue(turn + STAGES - 1);
    const int next = (thread + 1) % CHUNKS;
    const uint4 chunk = *(const uint4*)(shared + (turn % STAGES * CHUNKS + next) * 16);
    *(uint4*)(out + ((size_t)turn * CHUNKS + next) * 16) = chunk;
  }
}
