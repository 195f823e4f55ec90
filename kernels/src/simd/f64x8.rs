//! Vectors of eight f64 lanes at three widths that give the same bits.

/// Eight f64 lanes. A value of the implementing type proves that the machine has the instructions.
pub(crate) trait Doubles: Copy {
    /// Vectors that the machine's registers hold.
    const REGISTERS: usize;
    /// Eight f64.
    type V: Copy;

    /// The same value in each lane.
    fn splat(self, x: f64) -> Self::V;
    /// Reads eight values.
    fn load(self, from: &[f64; 8]) -> Self::V;
    /// Writes eight values.
    fn store(self, v: Self::V, to: &mut [f64; 8]);
    /// `a · b + c`, rounded once.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
}

/// Plain Rust on any machine.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Doubles for Portable {
    const REGISTERS: usize = 8;
    type V = [f64; 8];

    #[inline(always)]
    fn splat(self, x: f64) -> [f64; 8] {
        [x; 8]
    }

    #[inline(always)]
    fn load(self, from: &[f64; 8]) -> [f64; 8] {
        *from
    }

    #[inline(always)]
    fn store(self, v: [f64; 8], to: &mut [f64; 8]) {
        *to = v;
    }

    #[inline(always)]
    fn mul_add(self, a: [f64; 8], b: [f64; 8], c: [f64; 8]) -> [f64; 8] {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Doubles;
    use std::arch::x86_64::*;

    /// AVX2 and FMA: two vectors of four.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(());

    impl Avx2 {
        /// # Safety
        /// The machine has AVX2 and FMA.
        pub unsafe fn new() -> Avx2 {
            Avx2(())
        }
    }

    impl Doubles for Avx2 {
        const REGISTERS: usize = 8;
        type V = [__m256d; 2];

        #[inline(always)]
        fn splat(self, x: f64) -> Self::V {
            // SAFETY: `self` exists only where the machine has the instructions.
            unsafe { [_mm256_set1_pd(x); 2] }
        }

        #[inline(always)]
        fn load(self, from: &[f64; 8]) -> Self::V {
            let (halves, _) = from.as_chunks::<4>();
            // SAFETY: as above; each half is four values.
            unsafe { [_mm256_loadu_pd(halves[0].as_ptr()), _mm256_loadu_pd(halves[1].as_ptr())] }
        }

        #[inline(always)]
        fn store(self, v: Self::V, to: &mut [f64; 8]) {
            let (halves, _) = to.as_chunks_mut::<4>();
            // SAFETY: as above; each half is four values.
            unsafe {
                _mm256_storeu_pd(halves[0].as_mut_ptr(), v[0]);
                _mm256_storeu_pd(halves[1].as_mut_ptr(), v[1]);
            }
        }

        #[inline(always)]
        fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: as above.
            unsafe { [_mm256_fmadd_pd(a[0], b[0], c[0]), _mm256_fmadd_pd(a[1], b[1], c[1])] }
        }
    }

    /// AVX-512 F: one vector of eight.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(());

    impl Avx512 {
        /// # Safety
        /// The machine has AVX-512 F.
        pub unsafe fn new() -> Avx512 {
            Avx512(())
        }
    }

    impl Doubles for Avx512 {
        const REGISTERS: usize = 32;
        type V = __m512d;

        #[inline(always)]
        fn splat(self, x: f64) -> __m512d {
            // SAFETY: `self` exists only where the machine has the instructions.
            unsafe { _mm512_set1_pd(x) }
        }

        #[inline(always)]
        fn load(self, from: &[f64; 8]) -> __m512d {
            // SAFETY: as above; eight values are read.
            unsafe { _mm512_loadu_pd(from.as_ptr()) }
        }

        #[inline(always)]
        fn store(self, v: __m512d, to: &mut [f64; 8]) {
            // SAFETY: as above; eight values are written.
            unsafe { _mm512_storeu_pd(to.as_mut_ptr(), v) }
        }

        #[inline(always)]
        fn mul_add(self, a: __m512d, b: __m512d, c: __m512d) -> __m512d {
            // SAFETY: as above.
            unsafe { _mm512_fmadd_pd(a, b, c) }
        }
    }
}
