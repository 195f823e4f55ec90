// The state of one host thread's emulated multiprocessor, and what the runtime's parts offer each other.
//
// A block runs as one fiber per thread, all on the host thread that launched it; blocks run one after another in random
// order. Several host threads can launch at once, each with a machine of its own.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "api.h"

namespace samp_emu {

constexpr int WARP = 32, WARPGROUP = 128, MAX_THREADS = 1024, NAMED_BARRIERS = 16;

// The kinds of fault, in the order of the Rust enum.
enum Kind : u32 { RACE, BOUNDS, ALIGNMENT, DEADLOCK, DIVERGENCE, MISUSE };

// When asynchronous work takes effect: as soon as it is issued, as late as it may, or either.
enum AsyncMode : u32 { EARLY, LATE, EITHER };

// Counts of one launch, as the Rust side mirrors them.
struct Stats {
  u64 blocks, switches, collectives, products, warpgroup_products, matrix_loads, bank_conflicts, copied_bytes, checked;
};

// Why a launch failed, as the Rust side mirrors it.
struct FaultRecord {
  u32 kind;
  uint3 block;
  i32 thread;
  i32 line;
  u64 instruction;  // within the shared object; 0 when `file` and `line` are known
  char file[64];
  char what[320];
};

// Memory that a launch may touch. No launch writes what is constant.
struct Region {
  const u8* start;
  u64 bytes;
  u64 writable, constant;
};

// One launch, as the Rust side mirrors it.
struct Launch {
  uint3 grid, block;
  u64 shared_bytes, seed;
  u32 async_mode, checked;
  u32 overlaps;  // whether it may begin before the launch ahead of it has ended
  void** parameters;
  const Region* regions;
  u64 region_count;
  const Entry* entry;
};

using Clock = std::vector<u32>;

struct Copy16 {
  u32 to;
  const void* from;
  bool valid, done;
};

enum class State : u8 { READY, WAITING, DONE };

struct Thread : ThreadView {
  void* stack_pointer;
  int id, warp;
  State state;
  const char* waits_for;
  Site site;
  std::vector<Copy16> open;                 // copies not committed yet
  std::deque<std::vector<Copy16>> groups;   // committed, oldest first
};

// A collective operation of a warp or warpgroup that some of its threads have reached.
struct Collective {
  const char* name = nullptr;
  int line = 0, arrived = 0;
  void (*execute)(Collective&) = nullptr;
  void* arguments[WARPGROUP];  // by lane; null where a lane has not come
  int threads[WARPGROUP];      // in order of arrival
};

struct BlockBarrier {
  std::vector<int> threads;  // that have arrived
  int needed = 0;            // 0: all that have not returned
};

struct Product {
  float* sums[WARPGROUP];
  u32 a[WARPGROUP][4];
  WarpgroupProduct shape;
  Clock clock;
};

struct Warpgroup {
  bool fenced = false;  // since the last commit or wait
  std::vector<Product> open;
  std::deque<std::vector<Product>> groups;
};

// A bulk copy under way.
struct BulkCopy {
  u8* to;
  const void* from;
  u32 bytes;
  u64* barrier;
  Clock clock;
};

struct PhaseBarrier {
  u32 phase, arrivals, pending;
  long long bytes;
  int initializer;
  u32 initialized;  // by the initializer's clock
  bool fenced;      // since then, by it
  Clock arriving, complete;
};

struct BarrierWaiter {
  int thread;
  u64* barrier;
  u32 parity;
};

// Who last touched a byte of shared memory, and when by his own clock. Atomic operations do not race with each other.
struct Shadow {
  u32 write_time = 0, add_time = 0, read_times[2] = {0, 0};
  u16 writer, adder, writer_fences = 0, readers[2];
  Shadow();
};

// Who last stored to a byte of global memory, and when by his own clock. Block 0 is nobody.
struct Stored {
  u32 block, time;
  u16 thread;
};

// What a block has made known by adding to a counter: its threads' stores up to these times.
struct Release {
  u32 block;
  Clock clock;
};

// What a thread of the running block has heard by adding to a counter: its first `count` releases, once it has fenced.
struct Acquire {
  const void* counter;
  size_t count;
  int thread;
  u32 time;
};

struct Unreserve {
  void operator()(Stored* stored) const;
};

// Order on global memory; see order.cpp.
struct GlobalOrder {
  std::vector<std::unique_ptr<Stored, Unreserve>> stored;  // by region, a `Stored` for each byte; null where there is none yet
  std::map<const void*, std::vector<Release>> releases;    // by counter
  u32 block = 0;                                           // that is running, from 1
  std::vector<Clock> fenced;                               // what each of its threads knew at its last fence
  std::vector<Acquire> acquires;
  std::vector<bool> waited;  // threads past their `grid_wait`
};

struct Machine {
  ~Machine();  // gives stacks and shared memory back

  View view{};
  Launch launch{};
  Stats stats{};
  FaultRecord fault{};
  u64 random = 1;
  int threads = 0, live = 0;
  u8* shared = nullptr;

  void* main_stack_pointer = nullptr;
  char* stacks = nullptr;
  int stack_count = 0;
  Thread* current = nullptr;
  std::vector<Thread> fibers;
  u32 ready_lanes[WARP] = {}, ready_warps = 0;
  int current_warp = 0;

  std::vector<int> live_lanes;
  std::vector<Collective> warp_collectives, warpgroup_collectives;
  std::vector<Warpgroup> warpgroups;
  BlockBarrier barriers[NAMED_BARRIERS];
  std::map<u64*, PhaseBarrier> phase_barriers;
  std::vector<BarrierWaiter> barrier_waiters;
  std::deque<BulkCopy> bulk_copies;

  std::vector<Shadow> shadows;
  std::vector<Clock> clocks;
  std::vector<u16> fences;  // proxy fences that each thread has passed
  u32 agent_clocks[2] = {};
  GlobalOrder order;
};

// This host thread's machine.
Machine& machine();

// ---- fibers.cpp, scheduler.cpp ----
void prepare_stacks(int count);
void release_stacks(char* stacks);
void prepare_fiber(Thread& thread, void (*entry)());
void run_fibers();                     // until all are done or one faults
[[noreturn]] void leave_fibers();      // back to whoever called run_fibers
void switch_fibers(void** save_stack_pointer, void* stack_pointer);
u32 random_bits();
bool happens_early();
void wake(int thread);
void wait_for(const char* what, Site site);  // until woken
void schedule();
[[noreturn, gnu::format(printf, 3, 4)]] void fault(Kind kind, Site site, const char* format, ...);

// ---- collectives.cpp ----
void warp_collective(const char* name, void* argument, Site site, void (*execute)(Collective&), bool all_lanes);
void warpgroup_collective(const char* name, void* argument, Site site, void (*execute)(Collective&));
void thread_exits();
void block_barrier(int id, int threads, Site site);
void warp_barrier(Site site);
u32 shuffle(u32 value, int lane, Site site);
u32 ballot(bool vote, Site site);

// ---- memory.cpp ----
u8* shared_at(u32 address, u32 bytes, u32 alignment, const char* what, Site site);
u32 shared_address(const void* address, Site site);
void touch(const void* address, u64 bytes, bool write, Site site, bool atomic = false);
void touch_instruction(const void* address, u64 bytes, int alignment, bool write, const void* instruction);
[[noreturn]] void misaligned(const void* address, int alignment, Site site);
u32 atomic_add_u32(u32* address, u32 value, Site site);
float atomic_add_f32(float* address, float value, Site site);

// ---- matrix.cpp, copies.cpp ----
void load_matrix(u32* registers, int matrices, bool transposed, u32 address, Site site);
void multiply(float* sums, const u32* a, const u32* b, Element element, Site site);
void copy16(u32 to, const void* from, bool valid, Site site);
void copy_commit();
void copy_wait(int groups);

// ---- barriers.cpp, bulk.cpp ----
PhaseBarrier& phase_barrier(u64* barrier, Site site);
void complete_if_done(u64* address, PhaseBarrier& barrier);
void barrier_init(u64* barrier, u32 arrivals, Site site);
void barrier_init_fence();
void barrier_arrive(u64* barrier, u32 bytes, Site site);
void barrier_wait(u64* barrier, u32 parity, Site site);
void bulk_copy(void* to, const void* from, u32 bytes, u64* barrier, Site site);
void run_a_bulk_copy();

// ---- wgmma.cpp ----
void warpgroup_fence(Site site);
void warpgroup_multiply(const WarpgroupProduct* product, Site site);
void warpgroup_commit(Site site);
void warpgroup_wait(int groups, Site site);

// ---- races.cpp ----
// Agents that touch shared memory beside the threads.
enum Agent { COPY_ENGINE, MATRIX_UNIT };
void prepare_races();
void access_by_thread(int thread, u32 offset, u32 bytes, bool write, Site site, bool atomic = false);
void access_by_agent(Agent agent, const Clock& clock, u32 time, u32 offset, u32 bytes, bool write);
u32 next_time(Agent agent);
int clock_index(Agent agent);
void pending_copy(int thread, u32 offset, Site site);
void finished_copy(int thread, u32 offset);
void join(Clock& into, const Clock& from);
void join_all(const int* threads, int count);
void release(int thread, Clock& into);
void acquire(int thread, const Clock& from);
void fence_async();

// ---- order.cpp ----
void prepare_order();                  // of a launch
void prepare_order_of_block(u32 block);
void access_global(u64 region, const u8* address, u64 bytes, bool write, Site site, bool atomic);
void fence_device();
void grid_wait();

}  // namespace samp_emu
