//! Sixteen f32 lanes, or eight of f64, or sixteen pairs of words, in two AVX2 registers.

use super::{
    f64x8::{F64_LANES, F64x8},
    integer::{IntegerJob, IntegerLanes},
    lanes::{Job, LANES, Lanes},
};
use std::arch::x86_64::*;

/// Proof that the machine has AVX2, FMA and F16C; made only by [`run`].
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Runs `job` with these instructions.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn run<J: Job>(job: J) -> J::Output {
    job.run(Avx2(()))
}

/// Runs a job over integers with these instructions.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn run_integer<J: IntegerJob>(job: J) -> J::Output {
    job.run(Avx2(()))
}

macro_rules! intrinsics {
    ($body:expr) => {
        // SAFETY: a value of `Avx2` exists only inside functions that require the instructions; loads and stores go
        // through references to arrays of the full size, at offsets of at most half of it.
        unsafe { $body }
    };
}

/// The same operation on both halves. A closure might stay a function without these instructions and become a call.
macro_rules! both {
    ($halves:expr, $half:ident => $body:expr) => {{
        let [first, second] = $halves;
        let $half = first;
        let first = intrinsics!($body);
        let $half = second;
        [first, intrinsics!($body)]
    }};
}

/// The halves of a vector.
type Pair = [__m256; 2];

impl Lanes for Avx2 {
    const REGISTERS: usize = 8;
    type F = Pair;
    type Table = Pair;

    #[inline(always)]
    fn splat(self, x: f32) -> Pair {
        intrinsics!([_mm256_set1_ps(x); 2])
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Pair {
        intrinsics!([_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))])
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        intrinsics!(_mm_prefetch::<_MM_HINT_T0>(address.cast()))
    }

    #[inline(always)]
    fn store(self, v: Pair, to: &mut [f32; LANES]) {
        intrinsics!({
            _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), v[1]);
        })
    }

    #[inline(always)]
    fn add(self, a: Pair, b: Pair) -> Pair {
        intrinsics!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn sub(self, a: Pair, b: Pair) -> Pair {
        intrinsics!([_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul(self, a: Pair, b: Pair) -> Pair {
        intrinsics!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn div(self, a: Pair, b: Pair) -> Pair {
        intrinsics!([_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul_add(self, a: Pair, b: Pair, c: Pair) -> Pair {
        intrinsics!([_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])])
    }

    #[inline(always)]
    fn max(self, a: Pair, b: Pair) -> Pair {
        intrinsics!([_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn min(self, a: Pair, b: Pair) -> Pair {
        intrinsics!([_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn sums(self, of: [Pair; LANES]) -> Pair {
        [eight_sums(self, &of, 0), eight_sums(self, &of, 8)]
    }

    #[inline(always)]
    fn exp2_shifted(self, shifted: Pair) -> Pair {
        both!(shifted, half => {
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(half));
            _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(0x3f80_0000)))
        })
    }

    #[inline(always)]
    fn load_f16(self, from: &[u16; LANES]) -> Pair {
        let half = from.as_ptr().cast::<__m128i>();
        intrinsics!([_mm256_cvtph_ps(_mm_loadu_si128(half)), _mm256_cvtph_ps(_mm_loadu_si128(half.add(1)))])
    }

    #[inline(always)]
    fn load_bf16(self, from: &[u16; LANES]) -> Pair {
        let half = from.as_ptr().cast::<__m128i>();
        let bits = intrinsics!([_mm_loadu_si128(half), _mm_loadu_si128(half.add(1))]);
        both!(bits, b => _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(b))))
    }

    #[inline(always)]
    fn load_i8(self, from: &[u8; LANES]) -> Pair {
        both!(bytes(self, from), b => _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b)))
    }

    #[inline(always)]
    fn load_fp8(self, from: &[u8; LANES]) -> Pair {
        both!(bytes(self, from), b => {
            let shifted = _mm_slli_epi16::<7>(_mm_cvtepi8_epi16(b));
            _mm256_cvtph_ps(_mm_and_si128(shifted, _mm_set1_epi16(0xbf80_u16 as i16)))
        })
    }

    #[inline(always)]
    fn table(self, table: &[f32; LANES]) -> Pair {
        self.load(table)
    }

    #[inline(always)]
    fn lookup(self, table: Pair, codes: &[u8; LANES]) -> [Pair; 2] {
        let low = both!(bytes(self, codes), b => _mm256_cvtepu8_epi32(b));
        let high = both!(low, l => _mm256_srli_epi32::<4>(l));
        [entries(self, table, high), entries(self, table, low)]
    }

    #[inline(always)]
    fn gather(self, table: &[f32; 256], codes: &[u8; LANES]) -> Pair {
        both!(bytes(self, codes), b => _mm256_i32gather_ps::<4>(table.as_ptr(), _mm256_cvtepu8_epi32(b)))
    }
}

impl F64x8 for Avx2 {
    type D = [__m256d; 2];

    #[inline(always)]
    fn splat_f64(self, x: f64) -> Self::D {
        intrinsics!([_mm256_set1_pd(x); 2])
    }

    #[inline(always)]
    fn load_f64(self, from: &[f64; F64_LANES]) -> Self::D {
        intrinsics!([_mm256_loadu_pd(from.as_ptr()), _mm256_loadu_pd(from.as_ptr().add(4))])
    }

    #[inline(always)]
    fn store_f64(self, v: Self::D, to: &mut [f64; F64_LANES]) {
        intrinsics!({
            _mm256_storeu_pd(to.as_mut_ptr(), v[0]);
            _mm256_storeu_pd(to.as_mut_ptr().add(4), v[1]);
        })
    }

    #[inline(always)]
    fn mul_add_f64(self, a: Self::D, b: Self::D, c: Self::D) -> Self::D {
        intrinsics!([_mm256_fmadd_pd(a[0], b[0], c[0]), _mm256_fmadd_pd(a[1], b[1], c[1])])
    }
}

impl IntegerLanes for Avx2 {
    type Sums = [__m256i; 2];
    type Words = [__m256i; 2];
    /// The low bytes of the table's words, and the high ones.
    type WordTable = [__m256i; 2];

    #[inline(always)]
    fn splat_i32(self, x: i32) -> Self::Sums {
        intrinsics!([_mm256_set1_epi32(x); 2])
    }

    #[inline(always)]
    fn word_table(self, table: &[i16; LANES]) -> Self::WordTable {
        let [low, high] = [0, 1].map(|byte| table.map(|word| word.to_le_bytes()[byte]));
        intrinsics!([
            _mm256_broadcastsi128_si256(_mm_loadu_si128(low.as_ptr().cast())),
            _mm256_broadcastsi128_si256(_mm_loadu_si128(high.as_ptr().cast())),
        ])
    }

    #[inline(always)]
    fn lookup_words(self, table: Self::WordTable, codes: &[u8; LANES]) -> Self::Words {
        intrinsics!({
            // In each word of the first half row by row: the high nibble below, the low one above.
            let codes = _mm_loadu_si128(codes.as_ptr().cast());
            let (first, second) = (_mm_srli_epi16::<4>(codes), codes);
            let nibbles =
                _mm256_set_m128i(_mm_unpackhi_epi8(first, second), _mm_unpacklo_epi8(first, second));
            let nibbles = _mm256_and_si256(nibbles, _mm256_set1_epi8(15));
            let (low, high) =
                (_mm256_shuffle_epi8(table[0], nibbles), _mm256_shuffle_epi8(table[1], nibbles));
            in_row_order(self, _mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high))
        })
    }

    #[inline(always)]
    fn pair_bytes(self, of: &[[u8; LANES]; 2]) -> Self::Words {
        intrinsics!({
            let first = _mm256_cvtepi8_epi16(_mm_loadu_si128(of[0].as_ptr().cast()));
            let second = _mm256_cvtepi8_epi16(_mm_loadu_si128(of[1].as_ptr().cast()));
            let (even, odd) = (_mm256_unpacklo_epi16(first, second), _mm256_unpackhi_epi16(first, second));
            in_row_order(self, even, odd)
        })
    }

    #[inline(always)]
    fn load_words(self, from: &[[i16; 2]; LANES]) -> Self::Words {
        let from = from.as_ptr().cast::<__m256i>();
        intrinsics!([_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))])
    }

    #[inline(always)]
    fn store_words(self, words: Self::Words, to: &mut [[i16; 2]; LANES]) {
        let to = to.as_mut_ptr().cast::<__m256i>();
        intrinsics!({
            _mm256_storeu_si256(to, words[0]);
            _mm256_storeu_si256(to.add(1), words[1]);
        })
    }

    #[inline(always)]
    fn add_dots(self, sums: Self::Sums, words: Self::Words, x: [i16; 2]) -> Self::Sums {
        intrinsics!({
            let x = _mm256_set1_epi32(bytemuck::cast(x));
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(words[0], x)),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(words[1], x)),
            ]
        })
    }

    #[inline(always)]
    fn sums_to_f32(self, sums: Self::Sums) -> Pair {
        intrinsics!([_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])])
    }
}

/// Rows 0 to 3 and 8 to 11 in the one, the others in the other, put in order.
#[inline(always)]
fn in_row_order(_: Avx2, even: __m256i, odd: __m256i) -> [__m256i; 2] {
    intrinsics!([_mm256_permute2x128_si256::<0x20>(even, odd), _mm256_permute2x128_si256::<0x31>(even, odd)])
}

/// The two halves of 16 bytes, each in the low half of a register.
#[inline(always)]
fn bytes(_: Avx2, from: &[u8; LANES]) -> [__m128i; 2] {
    let low = from.as_ptr();
    intrinsics!([_mm_loadl_epi64(low.cast()), _mm_loadl_epi64(low.add(8).cast())])
}

/// The entries at the low four bits of each index: bit 3, moved to the sign, picks the half of the table.
#[inline(always)]
fn entries(_: Avx2, table: Pair, indices: [__m256i; 2]) -> Pair {
    both!(indices, index => {
        let first = _mm256_permutevar8x32_ps(table[0], index);
        let second = _mm256_permutevar8x32_ps(table[1], index);
        let half = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
        _mm256_blendv_ps(first, second, half)
    })
}

/// The sums of eight vectors from `i` on.
#[inline(always)]
fn eight_sums(l: Avx2, of: &[Pair; LANES], i: usize) -> __m256 {
    let (a, b) = (twos(l, of, i), twos(l, of, i + 2));
    intrinsics!(_mm256_add_ps(_mm256_shuffle_ps::<0x88>(a, b), _mm256_shuffle_ps::<0xdd>(a, b)))
}

/// Of vectors `i` and `i + 4` and of those that follow them, two partial sums.
#[inline(always)]
fn twos(l: Avx2, of: &[Pair; LANES], i: usize) -> __m256 {
    let (a, b) = (fours(l, of, i), fours(l, of, i + 1));
    intrinsics!(_mm256_add_ps(_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xee>(a, b)))
}

/// Of vectors `i` and `i + 4`, four partial sums.
#[inline(always)]
fn fours(_: Avx2, of: &[Pair; LANES], i: usize) -> __m256 {
    let [a, b] = [of[i], of[i + 4]];
    intrinsics!({
        let (a, b) = (_mm256_add_ps(a[0], a[1]), _mm256_add_ps(b[0], b[1]));
        _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b))
    })
}
