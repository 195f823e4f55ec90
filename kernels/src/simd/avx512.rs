//! Sixteen f32 lanes, or eight of f64, in one AVX-512 register.

use super::{
    f64x8::{F64_LANES, F64x8},
    lanes::{Job, LANES, Lanes},
};
use std::arch::x86_64::*;

/// Proof that the machine has AVX-512 F, BW and VL; made only by [`run`].
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// Runs `job` with these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
pub(super) fn run<J: Job>(job: J) -> J::Output {
    job.run(Avx512(()))
}

macro_rules! intrinsics {
    ($body:expr) => {
        // SAFETY: a value of `Avx512` exists only inside `run`, which requires the instructions; loads and stores
        // go through references to arrays of the full size.
        unsafe { $body }
    };
}

impl Lanes for Avx512 {
    const REGISTERS: usize = 32;
    type F = __m512;
    type Table = __m512;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        intrinsics!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        intrinsics!(_mm512_loadu_ps(from.as_ptr()))
    }

    #[inline(always)]
    fn store(self, v: __m512, to: &mut [f32; LANES]) {
        intrinsics!(_mm512_storeu_ps(to.as_mut_ptr(), v))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        intrinsics!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        intrinsics!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn sums(self, of: [__m512; LANES]) -> __m512 {
        let [first, second] = [twos(self, &of, 0), twos(self, &of, 2)];
        intrinsics!(_mm512_add_ps(
            _mm512_shuffle_ps::<0x88>(first, second),
            _mm512_shuffle_ps::<0xdd>(first, second)
        ))
    }

    #[inline(always)]
    fn exp2_shifted(self, shifted: __m512) -> __m512 {
        intrinsics!({
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(shifted));
            _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(0x3f80_0000)))
        })
    }

    #[inline(always)]
    fn load_f16(self, from: &[u16; LANES]) -> __m512 {
        intrinsics!(_mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[u16; LANES]) -> __m512 {
        intrinsics!({
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    fn load_i8(self, from: &[u8; LANES]) -> __m512 {
        intrinsics!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))))
    }

    #[inline(always)]
    fn load_fp8(self, from: &[u8; LANES]) -> __m512 {
        intrinsics!({
            let wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(from.as_ptr().cast()));
            let bits = _mm256_and_si256(_mm256_slli_epi16::<7>(wide), _mm256_set1_epi16(0xbf80_u16 as i16));
            _mm512_cvtph_ps(bits)
        })
    }

    #[inline(always)]
    fn table(self, table: &[f32; LANES]) -> __m512 {
        self.load(table)
    }

    #[inline(always)]
    fn lookup(self, table: __m512, codes: &[u8; LANES]) -> [__m512; 2] {
        // The permutation reads only the low four bits of each index.
        intrinsics!({
            let low = _mm512_cvtepu8_epi32(_mm_loadu_si128(codes.as_ptr().cast()));
            let high = _mm512_srli_epi32::<4>(low);
            [_mm512_permutexvar_ps(high, table), _mm512_permutexvar_ps(low, table)]
        })
    }

    #[inline(always)]
    fn gather(self, table: &[f32; 256], codes: &[u8; LANES]) -> __m512 {
        intrinsics!({
            let indices = _mm512_cvtepu8_epi32(_mm_loadu_si128(codes.as_ptr().cast()));
            _mm512_i32gather_ps::<4>(indices, table.as_ptr())
        })
    }
}

impl F64x8 for Avx512 {
    type D = __m512d;

    #[inline(always)]
    fn splat_f64(self, x: f64) -> __m512d {
        intrinsics!(_mm512_set1_pd(x))
    }

    #[inline(always)]
    fn load_f64(self, from: &[f64; F64_LANES]) -> __m512d {
        intrinsics!(_mm512_loadu_pd(from.as_ptr()))
    }

    #[inline(always)]
    fn store_f64(self, v: __m512d, to: &mut [f64; F64_LANES]) {
        intrinsics!(_mm512_storeu_pd(to.as_mut_ptr(), v))
    }

    #[inline(always)]
    fn mul_add_f64(self, a: __m512d, b: __m512d, c: __m512d) -> __m512d {
        intrinsics!(_mm512_fmadd_pd(a, b, c))
    }
}

/// Of vectors `i` and `j`, the halves of each added up: eight partial sums of the one beside eight of the other.
#[inline(always)]
fn eights(_: Avx512, of: &[__m512; LANES], [i, j]: [usize; 2]) -> __m512 {
    let (a, b) = (of[i], of[j]);
    intrinsics!(_mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b)))
}

/// Of every fourth vector from `i` on, four partial sums.
#[inline(always)]
fn fours(l: Avx512, of: &[__m512; LANES], i: usize) -> __m512 {
    let (a, b) = (eights(l, of, [i, i + 4]), eights(l, of, [i + 8, i + 12]));
    intrinsics!(_mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b)))
}

/// Of every fourth vector from `i` on and of those that follow them, two partial sums.
#[inline(always)]
fn twos(l: Avx512, of: &[__m512; LANES], i: usize) -> __m512 {
    let (a, b) = (fours(l, of, i), fours(l, of, i + 1));
    intrinsics!(_mm512_add_ps(_mm512_shuffle_ps::<0x44>(a, b), _mm512_shuffle_ps::<0xee>(a, b)))
}
