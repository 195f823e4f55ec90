//! Every linear kernel on the emulator against its reference: formats, ragged tokens and rows, the widths of several models,
//! grids that split the work anyhow, seeds and moments of asynchronous work; and mutations, which must be noticed.

mod agreement;
mod mutations;
mod problem;

use std::path::Path;

use samp_abi::Format;
use samp_emulator::{AsyncMode, Build, Emulator, Kernel, Options};
use samp_kernels::linear::cuda::{Kind, Linear};

/// An emulator that keeps its kernels beside the build outputs.
fn emulator() -> Emulator {
    Emulator::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated"))
}

fn compile(linear: &Linear, build: Build) -> Kernel {
    emulator().compile(&linear.source(), build).unwrap_or_else(|error| panic!("{error}"))
}

/// A kernel of a format by name.
#[track_caller]
fn linear(kind: Kind, format: &str, shape: (u32, u32), tokens: u32) -> Linear {
    let format: Format = format.parse().expect("a format");
    Linear::new(kind, format, shape, tokens).unwrap_or_else(|| panic!("{kind:?} over {format}, {shape:?}"))
}

/// Several devices: orders of threads and moments of asynchronous work.
fn devices(count: u64) -> impl Iterator<Item = Options> {
    let modes = AsyncMode::ALL.into_iter().cycle();
    (1..=count).zip(modes).map(|(seed, async_mode)| Options { seed, async_mode })
}
