// Host twins of the matrix units and of Hopper's asynchronous copies.
#pragma once

// ---- matrix units ----

DEV void load_matrix_x4(u32 (&r)[4], u32 address, SAMP_SITE) {
  samp_emu_runtime.load_matrix(r, 4, false, address, site);
}
DEV void load_matrix_x4_transposed(u32 (&r)[4], u32 address, SAMP_SITE) {
  samp_emu_runtime.load_matrix(r, 4, true, address, site);
}

DEV void mma_16x8x16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, SAMP_SITE) {
  const u32 b[2] = {b0, b1};
  samp_emu_runtime.multiply(d, a, b, samp_emu::Element::Half, site);
}
DEV void mma_16x8x16_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, SAMP_SITE) {
  const u32 b[2] = {b0, b1};
  samp_emu_runtime.multiply(d, a, b, samp_emu::Element::Bfloat, site);
}

// ---- Hopper ----

DEV void barrier_init(u64* barrier, u32 arrivals, SAMP_SITE) { samp_emu_runtime.barrier_init(barrier, arrivals, site); }
DEV void barrier_init_fence() { samp_emu_runtime.barrier_init_fence(); }
DEV void barrier_arrive(u64* barrier, SAMP_SITE) { samp_emu_runtime.barrier_arrive(barrier, 0, site); }
DEV void barrier_expect(u64* barrier, u32 bytes, SAMP_SITE) { samp_emu_runtime.barrier_arrive(barrier, bytes, site); }
DEV void barrier_wait(u64* barrier, u32 parity, SAMP_SITE) { samp_emu_runtime.barrier_wait(barrier, parity, site); }

DEV void bulk_copy(void* to, const void* from, u32 bytes, u64* barrier, SAMP_SITE) {
  samp_emu_runtime.bulk_copy(to, from, bytes, barrier, site);
}
DEV void bulk_copy_once(void* to, const void* from, u32 bytes, u64* barrier, SAMP_SITE) {
  samp_emu_runtime.bulk_copy(to, from, bytes, barrier, site);
}
DEV void fence_async() { samp_emu_runtime.fence_async(); }

DEV void wgmma_fence(SAMP_SITE) { samp_emu_runtime.warpgroup_fence(site); }
DEV void wgmma_commit(SAMP_SITE) { samp_emu_runtime.warpgroup_commit(site); }
template <int N> DEV void wgmma_wait(SAMP_SITE) { samp_emu_runtime.warpgroup_wait(N, site); }

DEV u64 wgmma_rows(u32 address) {
  return (u64)((address & 0x3ffff) >> 4) | 1ull << 16 | (u64)(1024 >> 4) << 32 | 1ull << 62;
}

template <int Count> DEV void wgmma_64xNx16(float (&d)[Count], const u32 (&a)[4], u64 b, int add, SAMP_SITE) {
  const samp_emu::WarpgroupProduct product{d, a, b, Count * 2, samp_emu::Element::Half, add != 0};
  samp_emu_runtime.warpgroup_multiply(&product, site);
}
template <int Count> DEV void wgmma_64xNx16_bf16(float (&d)[Count], const u32 (&a)[4], u64 b, int add, SAMP_SITE) {
  const samp_emu::WarpgroupProduct product{d, a, b, Count * 2, samp_emu::Element::Bfloat, add != 0};
  samp_emu_runtime.warpgroup_multiply(&product, site);
}
template <int Count> DEV void wgmma_64xNx32_e4m3(float (&d)[Count], const u32 (&a)[4], u64 b, int add, SAMP_SITE) {
  const samp_emu::WarpgroupProduct product{d, a, b, Count * 2, samp_emu::Element::E4m3, add != 0};
  samp_emu_runtime.warpgroup_multiply(&product, site);
}
