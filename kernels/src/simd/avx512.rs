//! Sixteen f32 lanes, or eight of f64, or sixteen pairs of words, in one AVX-512 register.

use super::{
    bytes::{ByteJob, ByteLanes},
    f64x8::{F64_LANES, F64x8},
    integer::{IntegerJob, IntegerLanes},
    lanes::{Job, LANES, Lanes},
};
use std::arch::x86_64::*;

/// Proof that the machine has AVX-512 F, BW and VL, also VNNI and VBMI where `VNNI` says so; made only by the functions that run
/// jobs.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const VNNI: bool>(());

/// Runs `job` with these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
pub(super) fn run<J: Job>(job: J) -> J::Output {
    job.run(Avx512::<false>(()))
}

/// Runs a job over integers with the same instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
pub(super) fn run_integer<J: IntegerJob>(job: J) -> J::Output {
    job.run(Avx512::<false>(()))
}

/// Runs a job over integers with these instructions, VNNI and VBMI.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
pub(super) fn run_integer_vnni<J: IntegerJob>(job: J) -> J::Output {
    job.run(Avx512::<true>(()))
}

/// The same for a job over bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
pub(super) fn run_bytes<J: ByteJob>(job: J) -> J::Output {
    job.run(Avx512::<true>(()))
}

macro_rules! intrinsics {
    ($body:expr) => {
        // SAFETY: a value of `Avx512` exists only inside functions that require the instructions; loads and stores go
        // through references to arrays of the full size.
        unsafe { $body }
    };
}

impl<const VNNI: bool> Lanes for Avx512<VNNI> {
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
    fn prefetch(self, address: *const u8) {
        intrinsics!(_mm_prefetch::<_MM_HINT_T0>(address.cast()))
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
        // Every 32 entries lie in two registers; three bits of the code pick one of the eight answers. Gathering takes
        // several times as long.
        let indices = intrinsics!(_mm512_cvtepu8_epi32(_mm_loadu_si128(codes.as_ptr().cast())));
        let (parts, _) = table.as_chunks::<{ 4 * LANES }>();
        let mut quarters = [self.splat(0.0); 4];
        for (quarter, part) in quarters.iter_mut().zip(parts) {
            *quarter = intrinsics!({
                let at = part.as_ptr();
                let (a, b) = (_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(LANES)));
                let (c, d) = (_mm512_loadu_ps(at.add(2 * LANES)), _mm512_loadu_ps(at.add(3 * LANES)));
                let (below, above) =
                    (_mm512_permutex2var_ps(a, indices, b), _mm512_permutex2var_ps(c, indices, d));
                let bit_5 = _mm512_test_epi32_mask(indices, _mm512_set1_epi32(32));
                _mm512_mask_blend_ps(bit_5, below, above)
            });
        }
        intrinsics!({
            let bit_6 = _mm512_test_epi32_mask(indices, _mm512_set1_epi32(64));
            let bit_7 = _mm512_test_epi32_mask(indices, _mm512_set1_epi32(128));
            let below = _mm512_mask_blend_ps(bit_6, quarters[0], quarters[1]);
            let above = _mm512_mask_blend_ps(bit_6, quarters[2], quarters[3]);
            _mm512_mask_blend_ps(bit_7, below, above)
        })
    }
}

impl<const VNNI: bool> F64x8 for Avx512<VNNI> {
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

impl<const VNNI: bool> IntegerLanes for Avx512<VNNI> {
    type Sums = __m512i;
    type Words = __m512i;
    type WordTable = __m512i;

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        intrinsics!(_mm512_set1_epi32(x))
    }

    #[inline(always)]
    fn word_table(self, table: &[i16; LANES]) -> __m512i {
        // Twice, so that bit 4 of an index does not count.
        intrinsics!(_mm512_broadcast_i64x4(_mm256_loadu_si256(table.as_ptr().cast())))
    }

    #[inline(always)]
    fn lookup_words(self, table: __m512i, codes: &[u8; LANES]) -> __m512i {
        // The permutation reads only the low five bits of each index.
        intrinsics!({
            let all = _mm512_broadcast_i32x4(_mm_loadu_si128(codes.as_ptr().cast()));
            let each = _mm512_shuffle_epi8(all, _mm512_loadu_si512(FOURFOLD.as_ptr().cast()));
            let indices = _mm512_srlv_epi16(each, _mm512_set1_epi32(4));
            _mm512_permutexvar_epi16(indices, table)
        })
    }

    #[inline(always)]
    fn pair_bytes(self, of: &[[u8; LANES]; 2]) -> __m512i {
        intrinsics!({
            let first = _mm512_cvtepi8_epi32(_mm_loadu_si128(of[0].as_ptr().cast()));
            let second = _mm512_cvtepi8_epi32(_mm_loadu_si128(of[1].as_ptr().cast()));
            _mm512_mask_blend_epi16(0xaaaa_aaaa, first, _mm512_slli_epi32::<16>(second))
        })
    }

    #[inline(always)]
    fn load_words(self, from: &[[i16; 2]; LANES]) -> __m512i {
        intrinsics!(_mm512_loadu_si512(from.as_ptr().cast()))
    }

    #[inline(always)]
    fn store_words(self, words: __m512i, to: &mut [[i16; 2]; LANES]) {
        intrinsics!(_mm512_storeu_si512(to.as_mut_ptr().cast(), words))
    }

    #[inline(always)]
    fn add_dots(self, sums: __m512i, words: __m512i, x: [i16; 2]) -> __m512i {
        intrinsics!({
            let x = _mm512_set1_epi32(bytemuck::cast(x));
            if VNNI {
                _mm512_dpwssd_epi32(sums, words, x)
            } else {
                _mm512_add_epi32(sums, _mm512_madd_epi16(words, x))
            }
        })
    }

    #[inline(always)]
    fn sums_to_f32(self, sums: __m512i) -> __m512 {
        intrinsics!(_mm512_cvtepi32_ps(sums))
    }
}

impl ByteLanes for Avx512<true> {
    type Bytes = __m512i;

    #[inline(always)]
    fn splat_u8(self, x: u8) -> __m512i {
        intrinsics!(_mm512_set1_epi8(x as i8))
    }

    #[inline(always)]
    fn byte_table(self, table: &[u8; LANES]) -> __m512i {
        intrinsics!(_mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_rows(self, from: [&[u8; LANES]; 4]) -> __m512i {
        intrinsics!({
            let row = |i: usize| _mm_loadu_si128(from[i].as_ptr().cast());
            let [low, high] = [0, 2].map(|i| _mm256_set_m128i(row(i + 1), row(i)));
            let columns = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
            _mm512_permutexvar_epi8(_mm512_loadu_si512(TRANSPOSED.as_ptr().cast()), columns)
        })
    }

    #[inline(always)]
    fn load_step(self, from: &[[u8; LANES]; 4]) -> __m512i {
        intrinsics!({
            let columns = _mm512_loadu_si512(from.as_ptr().cast());
            _mm512_permutexvar_epi8(_mm512_loadu_si512(TRANSPOSED.as_ptr().cast()), columns)
        })
    }

    #[inline(always)]
    fn permute_bytes(self, from: &[u8; 4 * LANES], order: &[u8; 4 * LANES]) -> __m512i {
        intrinsics!({
            let order = _mm512_loadu_si512(order.as_ptr().cast());
            _mm512_permutexvar_epi8(order, _mm512_loadu_si512(from.as_ptr().cast()))
        })
    }

    #[inline(always)]
    fn store_bytes(self, bytes: __m512i, to: &mut [u8; 4 * LANES]) {
        intrinsics!(_mm512_storeu_si512(to.as_mut_ptr().cast(), bytes))
    }

    #[inline(always)]
    fn xor_bytes(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsics!(_mm512_xor_si512(a, b))
    }

    #[inline(always)]
    fn sub_bytes(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsics!(_mm512_sub_epi8(a, b))
    }

    #[inline(always)]
    fn nibbles(self, bytes: __m512i) -> [__m512i; 2] {
        intrinsics!({
            let mask = _mm512_set1_epi8(15);
            [_mm512_and_si512(_mm512_srli_epi16::<4>(bytes), mask), _mm512_and_si512(bytes, mask)]
        })
    }

    #[inline(always)]
    fn where_bits(self, bytes: __m512i, bits: [u8; 4], value: u8) -> __m512i {
        intrinsics!({
            let has = _mm512_test_epi8_mask(bytes, _mm512_set1_epi32(bytemuck::cast(bits)));
            _mm512_maskz_set1_epi8(has, value as i8)
        })
    }

    #[inline(always)]
    fn or_bytes(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsics!(_mm512_or_si512(a, b))
    }

    #[inline(always)]
    fn lookup_bytes(self, table: __m512i, nibbles: __m512i) -> __m512i {
        intrinsics!(_mm512_shuffle_epi8(table, nibbles))
    }

    #[inline(always)]
    fn load_sums(self, from: &[i32; LANES]) -> __m512i {
        intrinsics!(_mm512_loadu_si512(from.as_ptr().cast()))
    }

    #[inline(always)]
    fn add_byte_dots(self, sums: __m512i, bytes: __m512i, x: [i8; 4]) -> __m512i {
        intrinsics!(_mm512_dpbusd_epi32(sums, bytes, _mm512_set1_epi32(bytemuck::cast(x))))
    }

    #[inline(always)]
    fn shift_and_add<const BITS: u32>(self, sums: __m512i, to: __m512i) -> __m512i {
        intrinsics!(_mm512_add_epi32(_mm512_slli_epi32::<BITS>(sums), to))
    }
}

/// Byte `16 · column + row` at `4 · row + column`.
const TRANSPOSED: [u8; 64] = {
    let mut places = [0; 64];
    let mut i = 0;
    while i < 64 {
        places[i] = (i % 4 * 16 + i / 4) as u8;
        i += 1;
    }
    places
};

/// Within each quarter of a register that holds 16 bytes four times: the quarter's own four of them, each four times.
const FOURFOLD: [u8; 64] = {
    let mut places = [0; 64];
    let mut i = 0;
    while i < 64 {
        places[i] = (i / 4) as u8;
        i += 1;
    }
    places
};

/// Of vectors `i` and `j`, the halves of each added up: eight partial sums of the one beside eight of the other.
#[inline(always)]
fn eights<const V: bool>(_: Avx512<V>, of: &[__m512; LANES], [i, j]: [usize; 2]) -> __m512 {
    let (a, b) = (of[i], of[j]);
    intrinsics!(_mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b)))
}

/// Of every fourth vector from `i` on, four partial sums.
#[inline(always)]
fn fours<const V: bool>(l: Avx512<V>, of: &[__m512; LANES], i: usize) -> __m512 {
    let (a, b) = (eights(l, of, [i, i + 4]), eights(l, of, [i + 8, i + 12]));
    intrinsics!(_mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b)))
}

/// Of every fourth vector from `i` on and of those that follow them, two partial sums.
#[inline(always)]
fn twos<const V: bool>(l: Avx512<V>, of: &[__m512; LANES], i: usize) -> __m512 {
    let (a, b) = (fours(l, of, i), fours(l, of, i + 1));
    intrinsics!(_mm512_add_ps(_mm512_shuffle_ps::<0x44>(a, b), _mm512_shuffle_ps::<0xee>(a, b)))
}
