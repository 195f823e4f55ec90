//! How fast the threads of kernels read memory.

use std::hint::black_box;

use super::rate::rate;
use crate::{
    parallel::for_each_with,
    simd::{Job, LANES, Lanes, Width, run, sum},
};

/// Values that a thread reads at a time, four megabytes: long enough for the prefetchers, short enough for an even share.
const SHARE: usize = 1 << 20;
/// How many values ahead memory is asked for, a small page: the prefetchers of processors end at one.
const AHEAD: usize = 1 << 10;
/// Vectors that are added up side by side, so that reading and not adding is waited for.
const SUMS: usize = 8;

/// Bytes a second at which the threads that kernels run on read `values` together, each value once and in order. It is the rate
/// of memory where there are more values than the caches hold, and all of them were written before.
pub fn read_rate(values: &[f32]) -> f64 {
    let width = Width::detect();
    let shares: Vec<&[f32]> = values.chunks(SHARE).collect();
    rate(size_of_val(values) as f64, || {
        let read = |(): &mut (), index: usize| {
            black_box(run(width, Sum(shares[index])));
        };
        for_each_with(shares.len(), values.len(), || (), read);
    })
}

/// The sum of values, a remainder of less than `LANES · SUMS` aside.
struct Sum<'a>(&'a [f32]);

impl Job for Sum<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> f32 {
        let mut sums = [l.splat(0.0); SUMS];
        let (blocks, _) = self.0.as_chunks::<{ LANES * SUMS }>();
        for block in blocks {
            let (vectors, _) = block.as_chunks::<LANES>();
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                prefetch(vector.as_ptr().wrapping_add(AHEAD));
                *sum = l.add(*sum, l.load(vector));
            }
        }
        sums.into_iter().map(|v| sum(l, v)).sum()
    }
}

/// Asks for the line of memory at an address, where there is one.
#[inline(always)]
fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 has the instruction, which reads nothing that the program sees and faults at no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_at_every_width() {
        let values: Vec<f32> = (0..4 * LANES * SUMS).map(|i| i as f32).collect();
        let expected: f32 = values.iter().sum();
        for width in Width::ALL.into_iter().filter(|width| width.available()) {
            assert_eq!(run(width, Sum(&values)), expected, "{width:?}");
        }
    }

    #[test]
    fn a_rate_is_one_of_memory() {
        let found = read_rate(&vec![1.0; 1 << 20]);
        assert!((1e8..1e13).contains(&found), "{found}");
    }
}
