//! Vectors of 16 f32 or 8 f64 lanes at three widths that give the same bits.
//!
//! A kernel is a [`Job`] written once over [`Lanes`], which have f64 lanes beside those of f32; [`run`] compiles it for
//! each [`Width`]. Every operation is one correctly rounded IEEE operation per lane and reductions follow one fixed tree,
//! so that the width never changes a bit of a result.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bytes;
mod f64x8;
mod integer;
mod lanes;
mod portable;

pub use lanes::LANES;

pub(crate) use bytes::{ByteJob, ByteLanes};
pub(crate) use integer::{IntegerJob, IntegerLanes};
pub(crate) use lanes::{FP8_UNIT, Job, Lanes, exp, largest, sum};

use std::sync::OnceLock;

/// How wide the machine's vectors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Plain Rust on any machine.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW and VL.
    Avx512,
    /// The same, VNNI and VBMI, which integers make use of.
    Avx512Vnni,
    /// The same and matrix units of bytes (AMX), which linears over many tokens make use of.
    Amx,
}

impl Width {
    /// Every width, narrowest first.
    pub const ALL: [Width; 5] = [Width::Portable, Width::Avx2, Width::Avx512, Width::Avx512Vnni, Width::Amx];

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
            #[cfg(target_arch = "x86_64")]
            Width::Avx512Vnni => {
                Width::Avx512.available()
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx512vbmi")
            }
            #[cfg(target_arch = "x86_64")]
            Width::Amx => Width::Avx512Vnni.available() && amx::available(),
            #[cfg(not(target_arch = "x86_64"))]
            Width::Avx2 | Width::Avx512 | Width::Avx512Vnni | Width::Amx => false,
        }
    }

    /// Whether it has products of bytes that add up in 32 bits.
    pub fn multiplies_bytes(self) -> bool {
        matches!(self, Width::Avx512Vnni | Width::Amx)
    }

    /// The widest that this machine can run, found once.
    pub fn detect() -> Width {
        static WIDEST: OnceLock<Width> = OnceLock::new();
        *WIDEST.get_or_init(|| Width::ALL.into_iter().rfind(|w| w.available()).unwrap_or(Width::Portable))
    }
}

/// Runs `job` at `width`. Panics if this machine has not the instructions.
pub(crate) fn run<J: Job>(width: Width, job: J) -> J::Output {
    assert!(width.available(), "this machine cannot run {width:?}");
    match width {
        // SAFETY: availability was asserted.
        #[cfg(target_arch = "x86_64")]
        Width::Avx512 | Width::Avx512Vnni | Width::Amx => unsafe { avx512::run(job) },
        // SAFETY: availability was asserted.
        #[cfg(target_arch = "x86_64")]
        Width::Avx2 => unsafe { avx2::run(job) },
        _ => job.run(portable::Portable),
    }
}

/// Runs a job over integers at `width`. Panics if this machine has not the instructions.
pub(crate) fn run_integer<J: IntegerJob>(width: Width, job: J) -> J::Output {
    assert!(width.available(), "this machine cannot run {width:?}");
    match width {
        // SAFETY: availability was asserted.
        #[cfg(target_arch = "x86_64")]
        Width::Avx512Vnni | Width::Amx => unsafe { avx512::run_integer_vnni(job) },
        // SAFETY: availability was asserted.
        #[cfg(target_arch = "x86_64")]
        Width::Avx512 => unsafe { avx512::run_integer(job) },
        // SAFETY: availability was asserted.
        #[cfg(target_arch = "x86_64")]
        Width::Avx2 => unsafe { avx2::run_integer(job) },
        _ => job.run(portable::Portable),
    }
}

/// Runs a job over bytes at `width`. Panics unless [`Width::multiplies_bytes`] and this machine has the instructions.
pub(crate) fn run_bytes<J: ByteJob>(width: Width, job: J) -> J::Output {
    assert!(width.available(), "this machine cannot run {width:?}");
    match width {
        // SAFETY: availability was asserted.
        #[cfg(target_arch = "x86_64")]
        Width::Avx512Vnni | Width::Amx => unsafe { avx512::run_bytes(job) },
        _ => panic!("{width:?} has no products of bytes"),
    }
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
