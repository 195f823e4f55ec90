//! What the kernels' tests share: every way of running a kernel, and edited kernels.

use std::path::Path;

use samp_emulator::{AsyncMode, Build, Edit, Emulator, Kernel, LaunchError, Options};
use samp_kernel_cases::KernelCase;
pub use samp_kernel_cases::RandomValues;
use samp_kernels::cuda::Source;

pub use crate::run_case::LaunchCase;

/// The emulator of this test run.
pub fn emulator() -> Emulator {
    Emulator::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated-kernels"))
}

/// A kernel or probe of `samp_kernels::cuda` with constants.
pub fn source(stem: &str, defines: &[(&'static str, usize)]) -> Source {
    let source = Source::find(stem).unwrap_or_else(|| panic!("no kernel is called {stem}"));
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
    plain: Kernel,
    checked: Kernel,
}

impl Subject {
    pub fn new(source: &Source) -> Subject {
        let build = |build| compiled(source, &[], build);
        Subject { plain: build(Build::Plain), checked: build(Build::Checked) }
    }

    fn of(&self, way: (Build, Options)) -> &Kernel {
        if way.0 == Build::Plain { &self.plain } else { &self.checked }
    }
}

/// Runs cases in all [`WAYS`]; panics unless each gives what it must.
#[track_caller]
pub fn hold(cases: &[KernelCase]) {
    assert!(!cases.is_empty());
    for case in cases {
        let subject = Subject::new(&case.source);
        for way in WAYS {
            let written = subject.of(way).launch_case(case, way.1);
            let written = written.unwrap_or_else(|error| panic!("{} ({way:?}): {error}", case.name));
            let part = case.check(&written).unwrap_or_else(|error| panic!("{way:?}: {error}"));
            println!("{}: {part:.2} of the tolerance", case.name);
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

/// What came of an edited kernel over several seeds: its first fault, or else whether its results were right.
pub fn edited(case: &KernelCase, edit: Edit<'_>) -> Result<bool, LaunchError> {
    let kernel = compiled(&case.source, &[edit], Build::Checked);
    let mut right = true;
    let fault = first_fault(&kernel, |kernel, options| {
        right &= case.check(&kernel.launch_case(case, options)?).is_ok();
        Ok(())
    });
    fault.map_or(Ok(right), Err)
}
