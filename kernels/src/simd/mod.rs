//! Vectors of 16 f32 or 8 f64 lanes at three widths that give the same bits.
//!
//! A kernel is a [`Job`] written once over [`Lanes`], which have the f64 lanes of [`F64x8`] beside those of f32; [`run`] compiles it for each [`Width`]. Every operation is
//! one correctly rounded IEEE operation per lane and reductions follow one fixed tree, so that the width never
//! changes a bit of a result.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod f64x8;
mod portable;

pub(crate) use f64x8::{F64_LANES, F64x8};

use std::sync::OnceLock;

/// Lanes of a vector.
pub const LANES: usize = 16;

/// How wide the machine's vectors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Plain Rust on any machine.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW and VL.
    Avx512,
}

impl Width {
    /// Every width, narrowest first.
    pub const ALL: [Width; 3] = [Width::Portable, Width::Avx2, Width::Avx512];

    /// Whether this machine can run it.
    pub fn available(self) -> bool {
        match self {
            Width::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => {
                Width::Avx2.available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Width::Avx2 | Width::Avx512 => false,
        }
    }

    /// The widest that this machine can run, found once.
    pub fn detect() -> Width {
        static WIDEST: OnceLock<Width> = OnceLock::new();
        *WIDEST.get_or_init(|| Width::ALL.into_iter().rfind(|w| w.available()).unwrap_or(Width::Portable))
    }
}

/// Sixteen-lane arithmetic. A value of the implementing type proves that the machine has the instructions.
pub(crate) trait Lanes: F64x8 + Send + Sync {
    /// Vector registers of 16 f32 or 8 f64 that the machine has, which bounds how much a kernel keeps in flight.
    const REGISTERS: usize;
    /// Sixteen f32.
    type F: Copy;
    /// A table of 16 f32 in registers.
    type Table: Copy;

    /// The same value in each lane.
    fn splat(self, x: f32) -> Self::F;
    /// Reads 16 values.
    fn load(self, from: &[f32; LANES]) -> Self::F;
    /// Writes 16 values.
    fn store(self, v: Self::F, to: &mut [f32; LANES]);
    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a − b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a` where `a > b`, else `b` (also where either is NaN).
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a` where `a < b`, else `b` (also where either is NaN).
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The sum of each vector's lanes, halves first.
    fn sums(self, of: [Self::F; LANES]) -> Self::F;
    /// `2^n` for `n + 1.5·2²³` with an integer −126 ≤ n ≤ 127, see [`exp`].
    fn exp2_shifted(self, shifted: Self::F) -> Self::F;
    /// Sixteen IEEE binary16 values.
    fn load_f16(self, from: &[u16; LANES]) -> Self::F;
    /// Sixteen bfloat16 values.
    fn load_bf16(self, from: &[u16; LANES]) -> Self::F;
    /// Sixteen signed bytes.
    fn load_i8(self, from: &[u8; LANES]) -> Self::F;
    /// Sixteen E4M3 codes as their value divided by [`FP8_UNIT`]. The two NaN codes read as ±480.
    fn load_fp8(self, from: &[u8; LANES]) -> Self::F;
    /// Puts a table into registers.
    fn table(self, table: &[f32; LANES]) -> Self::Table;
    /// The table's entries at the high nibbles and at the low nibbles of 16 bytes.
    fn lookup(self, table: Self::Table, codes: &[u8; LANES]) -> [Self::F; 2];
    /// The entries of a 256-entry table.
    fn gather(self, table: &[f32; 256], codes: &[u8; LANES]) -> Self::F;
}

/// What [`Lanes::load_fp8`] is to be multiplied by. An E4M3 code moved into an f16 has the wrong exponent bias,
/// 15 for 7, and so 2⁻⁸ of its value; multiplying sums instead of weights by it is exact and free.
pub(crate) const FP8_UNIT: f32 = 256.0;

/// The f16 bits of an E4M3 code as [`Lanes::load_fp8`] reads it.
#[inline(always)]
fn fp8_as_f16(code: u8) -> u16 {
    (i16::from(code as i8) << 7) as u16 & 0xbf80
}

/// A computation over any width. `run` and all that it calls must be `#[inline(always)]`.
pub(crate) trait Job {
    /// What it gives.
    type Output;
    /// The computation.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Runs `job` at `width`. Panics if this machine has not the instructions.
pub(crate) fn run<J: Job>(width: Width, job: J) -> J::Output {
    assert!(width.available(), "this machine cannot run {width:?}");
    match width {
        // SAFETY: availability was asserted.
        #[cfg(target_arch = "x86_64")]
        Width::Avx512 => unsafe { avx512::run(job) },
        // SAFETY: availability was asserted.
        #[cfg(target_arch = "x86_64")]
        Width::Avx2 => unsafe { avx2::run(job) },
        _ => job.run(portable::Portable),
    }
}

/// `e^x` within 2 units in the last place for −87 ≤ x ≤ 88; arguments beyond are clamped and NaN stays NaN.
///
/// `x = n·ln 2 + r` with the nearest integer n, `ln 2` in two parts (Cody and Waite, 1980), and the Taylor
/// polynomial of degree 7 on |r| ≤ ½ ln 2.
#[inline(always)]
pub(crate) fn exp<L: Lanes>(l: L, x: L::F) -> L::F {
    const SHIFT: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const COEFFICIENTS: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let x = l.max(l.splat(-87.0), l.min(l.splat(88.0), x));
    let shifted = l.mul_add(x, l.splat(std::f32::consts::LOG2_E), l.splat(SHIFT));
    let n = l.sub(shifted, l.splat(SHIFT));
    let r = l.mul_add(n, l.splat(-LN2_HIGH), x);
    let r = l.mul_add(n, l.splat(-LN2_LOW), r);
    let mut sum = l.splat(1.0 / 5040.0);
    for c in COEFFICIENTS {
        sum = l.mul_add(sum, r, l.splat(c));
    }
    l.mul(sum, l.exp2_shifted(shifted))
}

/// The sum of the lanes, halves first.
#[inline(always)]
pub(crate) fn sum<L: Lanes>(l: L, v: L::F) -> f32 {
    by_halves(l, v, |a, b| a + b)
}

/// The largest of the lanes.
#[inline(always)]
pub(crate) fn largest<L: Lanes>(l: L, v: L::F) -> f32 {
    by_halves(l, v, |a, b| if a > b { a } else { b })
}

/// Joins the halves of the lanes until one is left.
#[inline(always)]
fn by_halves<L: Lanes>(l: L, v: L::F, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut s = [0.0; LANES];
    l.store(v, &mut s);
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            s[i] = join(s[i], s[i + half]);
        }
        half /= 2;
    }
    s[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Exp([f32; LANES]);

    impl Job for Exp {
        type Output = [f32; LANES];
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> [f32; LANES] {
            let mut out = [0.0; LANES];
            l.store(exp(l, l.load(&self.0)), &mut out);
            out
        }
    }

    struct Sums([[f32; LANES]; LANES]);

    impl Job for Sums {
        type Output = [f32; LANES];
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> [f32; LANES] {
            let mut out = [0.0; LANES];
            l.store(l.sums(self.0.map(|v| l.load(&v))), &mut out);
            out
        }
    }

    #[test]
    fn sums_are_in_order_and_the_same_at_every_width() {
        let lane = |row: usize, i: usize| (row * LANES + i) as f32 * 1.37e-3 + 1.0 / (1.0 + i as f32);
        let rows = std::array::from_fn(|row| std::array::from_fn(|i| lane(row, i)));
        let each = rows.map(|row| sum(portable::Portable, row).to_bits());
        for width in Width::ALL.into_iter().filter(|w| w.available()) {
            assert_eq!(run(width, Sums(rows)).map(f32::to_bits), each, "{width:?}");
        }
    }

    #[test]
    fn exp_is_close_and_the_same_at_every_width() {
        let mut x = -87.0_f32;
        while x < 87.0 {
            let xs: [f32; LANES] = std::array::from_fn(|i| x + i as f32 * 0.061);
            let portable = run(Width::Portable, Exp(xs));
            for (e, x) in portable.iter().zip(xs) {
                let exact = f64::from(x).exp();
                assert!((f64::from(*e) - exact).abs() <= 2.4e-7 * exact, "exp({x}) = {e}, expected {exact}");
            }
            for width in Width::ALL.into_iter().filter(|w| w.available()) {
                assert_eq!(run(width, Exp(xs)).map(f32::to_bits), portable.map(f32::to_bits), "{width:?}");
            }
            x += 0.97;
        }
        assert!(run(Width::detect(), Exp([f32::NAN; LANES]))[3].is_nan());
    }

    struct Codes([u8; LANES]);

    impl Job for Codes {
        type Output = [[f32; LANES]; 7];
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> [[f32; LANES]; 7] {
            let wide: [u16; LANES] = std::array::from_fn(|i| u16::from(self.0[i]) << 8 | 0x5a);
            let table = std::array::from_fn(|i| i as f32 * 1.5 - 7.0);
            let large = std::array::from_fn(|i| i as f32 / 3.0);
            let [high, low] = l.lookup(l.table(&table), &self.0);
            let gathered = l.gather(&large, &self.0);
            let loads = [l.load_fp8(&self.0), l.load_i8(&self.0), l.load_f16(&wide), l.load_bf16(&wide)];
            let mut out = [[0.0; LANES]; 7];
            for (to, v) in out.iter_mut().zip(loads.into_iter().chain([high, low, gathered])) {
                l.store(v, to);
            }
            out
        }
    }

    #[test]
    fn loads_are_the_same_at_every_width() {
        for first in (0..=255_u8).step_by(LANES) {
            let codes = std::array::from_fn(|i| first + i as u8);
            let bits = |w| run(w, Codes(codes)).map(|v| v.map(f32::to_bits));
            for width in Width::ALL.into_iter().filter(|w| w.available()) {
                assert_eq!(bits(width), bits(Width::Portable), "{width:?}");
            }
        }
    }
}
