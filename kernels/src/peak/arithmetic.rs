//! How fast the threads of kernels multiply and add in each unit that the machine has.

use std::hint::black_box;

use super::rate::rate;
#[cfg(target_arch = "x86_64")]
use crate::simd::amx::{PRODUCTS, TILE_ROWS, Tiles};
use crate::{
    parallel::for_each_with,
    simd::{Job, LANES, Lanes, Width, run, sum},
};

/// A unit of the CPU that multiplies and adds.
pub struct ArithmeticUnit {
    /// What it computes, such as `f32 FMA`.
    pub name: &'static str,
    /// Whether this machine has it.
    available: fn() -> bool,
    /// Operations a second of all threads, a multiply–add counted as two.
    rate: fn() -> f64,
}

impl ArithmeticUnit {
    /// Operations a second that the threads which kernels run on do together, a multiply–add counted as two; `None` where the
    /// machine does not have the unit.
    pub fn measure(&self) -> Option<f64> {
        (self.available)().then(self.rate)
    }
}

/// Every unit that kernels use. One that is new to them joins here.
pub const UNITS: &[ArithmeticUnit] = &[
    ArithmeticUnit { name: "f32 FMA", available: || true, rate: fused_multiply_adds },
    #[cfg(target_arch = "x86_64")]
    ArithmeticUnit { name: "int8 tiles", available: || Width::Amx.available(), rate: products_of_tiles },
];

/// Tasks that the threads share: many, so that they end together.
const TASKS: usize = 256;
/// Rounds of a task, which takes some ten microseconds with vectors of 16 lanes.
const ROUNDS: usize = 1 << 12;

fn fused_multiply_adds() -> f64 {
    let width = Width::detect();
    // Without vectors a multiply–add is a function of the C library.
    let rounds = if width == Width::Portable { ROUNDS / 64 } else { ROUNDS };
    let operations = 2 * TASKS * rounds * chains(width) * LANES;
    rate(operations as f64, || {
        let work = |(): &mut (), _| {
            black_box(run(width, MultiplyAdds { rounds: black_box(rounds) }));
        };
        for_each_with(TASKS, operations, || (), work);
    })
}

/// Matrix units multiply tiles of 16 rows and 16 columns, 64 bytes each.
#[cfg(target_arch = "x86_64")]
fn products_of_tiles() -> f64 {
    let operations = 2 * TASKS * ROUNDS * PRODUCTS * TILE_ROWS * TILE_ROWS * 64;
    rate(operations as f64, || {
        let work = |(): &mut (), _| {
            if let Some(tiles) = Tiles::new(TILE_ROWS) {
                tiles.multiply_rounds(black_box(ROUNDS));
            }
        };
        for_each_with(TASKS, operations, || (), work);
    })
}

/// Vectors that depend on themselves alone: enough to cover the four cycles that a result takes on two ports, and few enough
/// for the registers of the width.
const fn chains(width: Width) -> usize {
    match width {
        Width::Portable | Width::Avx2 => FEW,
        _ => MANY,
    }
}

const FEW: usize = 6;
const MANY: usize = 12;

struct MultiplyAdds {
    rounds: usize,
}

impl Job for MultiplyAdds {
    type Output = f32;
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> f32 {
        if L::REGISTERS > 16 {
            multiply_add::<L, MANY>(l, self.rounds)
        } else {
            multiply_add::<L, FEW>(l, self.rounds)
        }
    }
}

/// Multiplies and adds in each of `CHAINS` vectors, whose values go to 2 and stay there.
#[inline(always)]
fn multiply_add<L: Lanes, const CHAINS: usize>(l: L, rounds: usize) -> f32 {
    let (half, one) = (l.splat(0.5), l.splat(1.0));
    let mut values: [L::F; CHAINS] = std::array::from_fn(|i| l.splat(i as f32));
    for _ in 0..rounds {
        for value in &mut values {
            *value = l.mul_add(*value, half, one);
        }
    }
    values.into_iter().map(|v| sum(l, v)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_done_at_every_width() {
        for width in Width::ALL.into_iter().filter(|width| width.available()) {
            let done = run(width, MultiplyAdds { rounds: 64 });
            assert_eq!(
                done,
                (2 * LANES * chains(width)) as f32,
                "{width:?}: the chains that are counted are run"
            );
            let begun = run(width, MultiplyAdds { rounds: 0 });
            assert_eq!(begun, (LANES * (0..chains(width)).sum::<usize>()) as f32, "{width:?}");
        }
    }

    #[test]
    fn every_unit_has_a_rate_and_a_name_of_its_own() {
        for (index, unit) in UNITS.iter().enumerate() {
            assert!(UNITS[..index].iter().all(|other| other.name != unit.name), "{}", unit.name);
            assert!(unit.measure().is_none_or(|rate| (1e7..1e16).contains(&rate)), "{}", unit.name);
        }
        assert!(UNITS[0].measure().is_some(), "every machine adds and multiplies");
    }
}
