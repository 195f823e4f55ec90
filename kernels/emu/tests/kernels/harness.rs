//! What the kernels' tests share: inputs, every way of running a kernel, and how far results may lie from a reference.

use std::path::Path;

use half::f16;
use samp_emulator::{Arg, AsyncMode, Build, Edit, Emulator, Kernel, Launch, LaunchError, Options};
use samp_kernels::cuda::Source;

/// The emulator of this test run.
pub fn emulator() -> Emulator {
    Emulator::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated-kernels"))
}

/// A kernel or probe of `samp_kernels::cuda` with constants.
pub fn source(stem: &str, defines: &[(&'static str, usize)]) -> Source {
    let source = Source::of(stem).unwrap_or_else(|| panic!("no kernel is called {stem}"));
    defines.iter().fold(source, |source, (name, value)| source.define(name, value))
}

/// A kernel compiled.
pub fn compiled(source: &Source, edits: &[Edit<'_>], build: Build) -> Kernel {
    emulator().compile_edited(source, edits, build).unwrap_or_else(|error| panic!("{error}"))
}

/// Builds, orders of threads and times of asynchronous work that every kernel is run with.
pub const WAYS: [(Build, Options); 5] = [
    (Build::Plain, Options { seed: 1, async_mode: AsyncMode::Early }),
    (Build::Plain, Options { seed: 2, async_mode: AsyncMode::Late }),
    (Build::Checked, Options { seed: 3, async_mode: AsyncMode::Either }),
    (Build::Checked, Options { seed: 4, async_mode: AsyncMode::Late }),
    (Build::Checked, Options { seed: 5, async_mode: AsyncMode::Early }),
];

/// A kernel in both builds.
pub struct Subject {
    name: &'static str,
    plain: Kernel,
    checked: Kernel,
}

impl Subject {
    pub fn new(source: &Source) -> Subject {
        let build = |build| compiled(source, &[], build);
        Subject { name: source.stem, plain: build(Build::Plain), checked: build(Build::Checked) }
    }

    /// Launches in one of the [`WAYS`]; panics on a fault.
    pub fn run(&self, way: (Build, Options), launch: impl Into<Launch>, args: &[Arg<'_>]) {
        let kernel = if way.0 == Build::Plain { &self.plain } else { &self.checked };
        if let Err(error) = kernel.launch(launch.into(), way.1, args) {
            panic!("{} ({way:?}): {error}", self.name);
        }
    }
}

/// Runs an edited kernel checked, with several seeds, until it faults.
pub fn first_fault(
    kernel: &Kernel,
    mut run: impl FnMut(&Kernel, Options) -> Result<(), LaunchError>,
) -> Option<LaunchError> {
    let options = |seed| Options { seed, async_mode: AsyncMode::ALL[seed as usize % 3] };
    (0..12).find_map(|seed| run(kernel, options(seed)).err())
}

/// Numbers that are always the same, evenly spread over −1..1 (SplitMix64).
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn next(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }

    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Values that f16 can hold.
    pub fn halves(&mut self, count: usize) -> Vec<f16> {
        (0..count).map(|_| f16::from_f32(self.next())).collect()
    }
}

pub fn widened(values: &[f16]) -> Vec<f32> {
    values.iter().map(|x| x.to_f32()).collect()
}

/// The largest distance of `found` from `expected`, as a multiple of `absolute + relative · |expected|`; infinite for NaN.
pub fn excess(found: impl IntoIterator<Item = f32>, expected: &[f32], absolute: f32, relative: f32) -> f32 {
    let mut worst = 0.0f32;
    let mut count = 0;
    for (found, expected) in found.into_iter().zip(expected) {
        let ratio = (found - expected).abs() / (absolute + relative * expected.abs());
        worst = if ratio.is_nan() { f32::INFINITY } else { worst.max(ratio) };
        count += 1;
    }
    assert_eq!(count, expected.len(), "fewer results than expected");
    worst
}

/// Rounding of a result to f16.
pub const HALF_ULP: f32 = 1.0 / 2048.0;
