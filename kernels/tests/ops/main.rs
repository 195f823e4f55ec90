//! Every kernel of the registry against its reference, over ragged shapes, and bit by bit against itself at other
//! vector widths, thread counts and batch compositions.

mod attention;
mod gradients;
mod linear;
mod registry;
mod rows;

use samp_kernels::{
    kernel::{Kernel, Tolerance},
    parallel::Pool,
    random::SplitMix64,
    registry::kernels,
    simd::Width,
};
use std::num::NonZeroUsize;

/// Kernels with a host function of their own; those of GPUs are compared under the emulator.
pub(crate) fn host_kernels() -> impl Iterator<Item = &'static Kernel> {
    kernels().filter(|kernel| kernel.cuda.is_none())
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Numbers(SplitMix64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(SplitMix64::new(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.bits()
    }

    /// About normal with this standard deviation: a sum of twelve uniform numbers.
    pub(crate) fn normal(&mut self, deviation: f32) -> f32 {
        let sum: f32 = (0..12).map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32).sum();
        (sum - 6.0) * deviation
    }

    pub(crate) fn normals(&mut self, count: usize, deviation: f32) -> Vec<f32> {
        (0..count).map(|_| self.normal(deviation)).collect()
    }
}

/// A result that nothing was written to yet.
pub(crate) fn poisoned(len: usize) -> Vec<f32> {
    vec![f32::NAN; len]
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

pub(crate) fn assert_close(found: &[f32], expected: &[f32], tolerance: Tolerance, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (f, e)) in found.iter().zip(expected).enumerate() {
        let (found, expected) = (f64::from(*f), f64::from(*e));
        let allowed = tolerance.absolute + tolerance.relative * expected.abs();
        // Written so that NaN fails.
        let close = (found - expected).abs() <= allowed;
        assert!(close, "{what}: element {index} is {found}, expected {expected} within {allowed:.3e}");
    }
}

/// The widths that this machine has.
pub(crate) fn widths() -> impl Iterator<Item = Width> {
    Width::ALL.into_iter().filter(|w| w.available())
}

/// Runs `task` with pools of one, two and five threads: rayon's, and those that wait for it.
pub(crate) fn with_threads(task: impl Fn(usize) + Sync) {
    for threads in [1, 2, 5] {
        let count = NonZeroUsize::new(threads).expect("above 0");
        Pool::new(count, |_| ()).expect("threads can be started").install(|| task(threads));
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
        pool.install(|| task(threads));
    }
}
