// What a kernel may use of the device: the only file with inline PTX. The same kernels compile by NVRTC with what stands
// here, and by a host C++ compiler against the emulator's twins (-DSAMP_EMULATE).
//
// A pair of f16 values is a u32, the first in its low half. Addresses of shared memory are u32 (see `smem`).
#pragma once

#include "types.cuh"

#ifdef SAMP_EMULATE
#include "emulate.h"
#include "e4m3.cuh"
#else

#define DEV __device__ __forceinline__
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
// A kernel whose registers are for so many blocks of a multiprocessor and not spared for more.
#define KERNEL_OF_BLOCKS(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
// A table of constants in device memory.
#define DEV_TABLE __device__ const
// The launch's dynamic shared memory.
#define SHARED(name) extern __shared__ __align__(1024) u8 name[]

// ---- numbers ----

DEV u16 to_f16(float x) {
  u16 r;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x));
  return r;
}

DEV float from_f16(u16 x) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x));
  return r;
}

DEV u32 pack_f16x2(float low, float high) {
  u32 r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}

DEV u32 add_f16x2(u32 a, u32 b) {
  u32 r;
  asm("add.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}

DEV u32 fma_f16x2(u32 a, u32 b, u32 c) {
  u32 r;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
  return r;
}

DEV u32 bits_of(float x) { return __float_as_uint(x); }
DEV float float_of(u32 bits) { return __uint_as_float(bits); }

DEV u64 bits_of(double x) { return (u64)__double_as_longlong(x); }
DEV double double_of(u64 bits) { return __longlong_as_double((long long)bits); }

// Rounded each on its own, never fused: the same bits as on the host.
DEV double add_f64(double a, double b) { return __dadd_rn(a, b); }
DEV double mul_f64(double a, double b) { return __dmul_rn(a, b); }
DEV double log_f64(double x) { return log(x); }

// The upper half of the product.
DEV u64 mul_high(u64 a, u64 b) { return __umul64hi(a, b); }

DEV u16 to_bf16(float x) {
  u16 r;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(x));
  return r;
}

DEV float from_bf16(u16 x) { return float_of((u32)x << 16); }

DEV u32 pack_bf16x2(float low, float high) {
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}

DEV u32 fma_bf16x2(u32 a, u32 b, u32 c) {
  u32 r;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
  return r;
}

#include "e4m3.cuh"

// OCP E4M3, to nearest even; magnitudes beyond 448 become 448.
DEV u8 to_e4m3(float x) {
#if __CUDA_ARCH__ >= 890
  u16 r;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(0.0f), "f"(x));
  return (u8)r;
#else
  return to_e4m3_by_bits(x);
#endif
}

// Two values; those of the NaN codes are unspecified.
DEV u32 e4m3x2_to_f16x2(u16 codes) {
#if __CUDA_ARCH__ >= 890
  u32 r;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(r) : "h"(codes));
  return r;
#else
  return e4m3x2_to_f16x2_by_bits(codes);
#endif
}

DEV float from_e4m3(u8 code) { return from_f16((u16)e4m3x2_to_f16x2(code)); }

DEV float exp2_approx(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}

DEV float rsqrt_approx(float x) {
  float r;
  asm("rsqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}

DEV double round_even(double x) {
  double r;
  asm("cvt.rni.f64.f64 %0, %1;" : "=d"(r) : "d"(x));
  return r;
}

// Sine and cosine of x half turns.
DEV void sincos_half_turns(float x, float* sine, float* cosine) { sincospif(x, sine, cosine); }

// Bytes of a (0..=3) and b (4..=7) chosen by the nibbles of `selector`, the lowest first.
DEV u32 byte_permute(u32 a, u32 b, u32 selector) {
  u32 r;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(selector));
  return r;
}

// ---- memory ----

DEV u32 smem(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// The policy of data that is read once: first to leave the L2 cache.
DEV u64 evict_first() {
  u64 policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0;" : "=l"(policy));
  return policy;
}

// 16 bytes that nobody reads again.
DEV uint4 load_once(const void* p) {
  uint4 r;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)
               : "l"(p));
  return r;
}

// Copies 16 bytes to shared memory asynchronously; zeros where `valid` is false, and then `from` is not read.
DEV void copy16(u32 to, const void* from, bool valid = true) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}

// The same for data that is read once.
DEV void copy16_once(u32 to, const void* from) {
  asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "l"(evict_first())
               : "memory");
}

DEV void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most N of this thread's groups of copies are under way.
template <int N> DEV void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// Orders what this thread has written, or knows of from a barrier, before what it does later, for all blocks: the thread that
// tells of it by `atomic_add` fences before, the thread that hears of it fences after.
DEV void fence_device() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }

// What another block may just have written.
DEV float load_fresh(const float* p) {
  float r;
  asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(r) : "l"(p) : "memory");
  return r;
}

DEV u32 atomic_add(u32* p, u32 x) { return atomicAdd(p, x); }
DEV i32 atomic_add(i32* p, i32 x) { return atomicAdd(p, x); }
DEV float atomic_add(float* p, float x) { return atomicAdd(p, x); }

// ---- threads ----

DEV void block_sync() { __syncthreads(); }
DEV void warp_sync() { __syncwarp(); }
DEV u32 ballot(bool vote) { return __ballot_sync(0xffffffffu, vote); }
DEV u32 shuffle(u32 x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
DEV float shuffle(float x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
DEV u32 shuffle_xor(u32 x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
DEV float shuffle_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
DEV u64 shuffle_xor(u64 x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
// Beyond the warp's ends each lane keeps its own.
DEV u32 shuffle_down(u32 x, int distance) { return __shfl_down_sync(0xffffffffu, x, distance); }
DEV float shuffle_down(float x, int distance) { return __shfl_down_sync(0xffffffffu, x, distance); }
DEV u32 shuffle_up(u32 x, int distance) { return __shfl_up_sync(0xffffffffu, x, distance); }
DEV float shuffle_up(float x, int distance) { return __shfl_up_sync(0xffffffffu, x, distance); }
DEV u64 shuffle_up(u64 x, int distance) { return __shfl_up_sync(0xffffffffu, x, distance); }

// A barrier of `threads` threads of the block; ids 1..=15.
DEV void named_sync(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }

// Waits for the results of the launch before this one, where the two may overlap (programmatic dependent launch).
DEV void grid_wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the next launch begin, up to its `grid_wait`.
DEV void grid_launch() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// ---- matrix units ----

// Four 8x8 matrices of f16; lane l gives the address of row l % 8 of matrix l / 8.
DEV void load_matrix_x4(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// The same, each matrix transposed.
DEV void load_matrix_x4_transposed(u32 (&r)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// d += a · b, 16x16 by 16x8, f16 with f32 sums.
DEV void mma_16x8x16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

DEV void mma_16x8x16_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- Hopper ----
// Declared for every architecture, so that templates which only Hopper's kernels use can name them.

DEV void barrier_init(u64* barrier, u32 arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem(barrier)), "r"(arrivals) : "memory");
}

// Makes initialised barriers visible to asynchronous copies.
DEV void barrier_init_fence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

DEV void barrier_arrive(u64* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(smem(barrier)) : "memory");
}

// Arrives, and has the phase wait for so many bytes of bulk copies.
DEV void barrier_expect(u64* barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(smem(barrier)), "r"(bytes) : "memory");
}

// Waits until the phase of this parity is complete.
DEV void barrier_wait(u64* barrier, u32 parity) {
  asm volatile(
      "{\n.reg .pred done;\nretry:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra end;\n"
      "bra retry;\nend:\n}" ::"r"(smem(barrier)),
      "r"(parity)
      : "memory");
}

// Copies a multiple of 16 bytes; the barrier counts them.
DEV void bulk_copy(void* to, const void* from, u32 bytes, u64* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(smem(to)),
               "l"(from), "r"(bytes), "r"(smem(barrier))
               : "memory");
}

// The same for bytes that are read once.
DEV void bulk_copy_once(void* to, const void* from, u32 bytes, u64* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(
          smem(to)),
      "l"(from), "r"(bytes), "r"(smem(barrier)), "l"(evict_first())
      : "memory");
}

// Orders this thread's writes to shared memory before what the matrix units read.
DEV void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

DEV void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEV void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> DEV void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }

// Rows of 128 bytes, 64 values of 16 bits or 128 of 8, with the 128-byte swizzle: the 16-byte chunk c of row r lies at chunk
// c ^ (r % 8).
DEV u64 wgmma_rows(u32 address) {
  return (u64)((address & 0x3ffff) >> 4) | 1ull << 16 | (u64)(1024 >> 4) << 32 | 1ull << 62;
}

#define SAMP_D8(d, i)                                                                                                \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define SAMP_D32(d, i) SAMP_D8(d, i), SAMP_D8(d, i + 8), SAMP_D8(d, i + 16), SAMP_D8(d, i + 24)
#define SAMP_WGMMA(n, kind, registers, a0, a1, a2, a3, b, p, modifiers)                                               \
  "{\n.reg .pred add;\nsetp.ne.b32 add, " p ", 0;\nwgmma.mma_async.sync.aligned.m64n" n kind " {" registers "}, {" a0 ", " \
  a1 ", " a2 ", " a3 "}, " b ", add, " modifiers ";\n}"
#define SAMP_R8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define SAMP_R16 SAMP_R8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define SAMP_R32 SAMP_R16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define SAMP_R64                                                                                                     \
  SAMP_R32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, "  \
           "%52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

#define SAMP_WGMMAS(name, kind, modifiers)                                                                           \
  DEV void name(float (&d)[8], const u32 (&a)[4], u64 b, int add) {                                                  \
    asm volatile(SAMP_WGMMA("16", kind, SAMP_R8, "%8", "%9", "%10", "%11", "%12", "%13", modifiers)                  \
                 : SAMP_D8(d, 0)                                                                                     \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                                    \
  }                                                                                                                  \
  DEV void name(float (&d)[16], const u32 (&a)[4], u64 b, int add) {                                                 \
    asm volatile(SAMP_WGMMA("32", kind, SAMP_R16, "%16", "%17", "%18", "%19", "%20", "%21", modifiers)               \
                 : SAMP_D8(d, 0), SAMP_D8(d, 8)                                                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                                    \
  }                                                                                                                  \
  DEV void name(float (&d)[32], const u32 (&a)[4], u64 b, int add) {                                                 \
    asm volatile(SAMP_WGMMA("64", kind, SAMP_R32, "%32", "%33", "%34", "%35", "%36", "%37", modifiers)               \
                 : SAMP_D32(d, 0)                                                                                    \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                                    \
  }                                                                                                                  \
  DEV void name(float (&d)[64], const u32 (&a)[4], u64 b, int add) {                                                 \
    asm volatile(SAMP_WGMMA("128", kind, SAMP_R64, "%64", "%65", "%66", "%67", "%68", "%69", modifiers)              \
                 : SAMP_D32(d, 0), SAMP_D32(d, 32)                                                                   \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                                    \
  }

// d = a · b (+ d where `add` is not 0), 64x16 by 16xN, f16 (or bf16) with f32 sums; a in registers as for `mma_16x8x16`,
// warp w of the warpgroup with rows 16w..; b in shared memory, N rows of K. `d[N / 2]` is as N / 8 results of
// `mma_16x8x16`.
SAMP_WGMMAS(wgmma_64xNx16, "k16.f32.f16.f16", "1, 1, 0")
SAMP_WGMMAS(wgmma_64xNx16_bf16, "k16.f32.bf16.bf16", "1, 1, 0")

// The same of E4M3, 64x32 by 32xN. Lane 4g + t has columns 4t to 4t + 3 of row g in a[0] and of row g + 8 in a[1], the columns
// 16 further in a[2] and a[3]. In each sum 14 bits count from the largest of what is added, d included: the others' lower
// bits are lost.
SAMP_WGMMAS(wgmma_64xNx32_e4m3, "k32.f32.e4m3.e4m3", "1, 1")

#endif
