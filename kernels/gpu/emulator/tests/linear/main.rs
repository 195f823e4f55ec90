//! Every linear kernel on the emulator against its reference: formats, ragged tokens and rows, the widths of several models,
//! grids that split the work anyhow, seeds and moments of asynchronous work; and subtle mistakes, which must be noticed.

mod agreement;
mod mutations;
#[path = "../support/run_case.rs"]
mod run_case;

use std::path::Path;

use samp_emulator::{AsyncMode, Build, Emulator, Kernel, Options};
use samp_kernels::linear::cuda::Linear;

/// An emulator that keeps its kernels beside the build outputs.
fn emulator() -> Emulator {
    Emulator::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated"))
}

fn compile(linear: &Linear) -> Kernel {
    emulator().compile(&linear.source(), Build::Plain).unwrap_or_else(|error| panic!("{error}"))
}

/// Several devices: orders of threads and moments of asynchronous work.
fn devices(count: u64) -> impl Iterator<Item = Options> {
    let modes = AsyncMode::ALL.into_iter().cycle();
    (1..=count).zip(modes).map(|(seed, async_mode)| Options { seed, async_mode })
}
