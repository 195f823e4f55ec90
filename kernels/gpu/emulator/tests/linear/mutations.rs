//! Subtle mistakes must be noticed: by the checker on some device, or by a wrong result.

use samp_emulator::{Build, Edit, FaultKind};
use samp_kernel_cases::linear::{Problem, kernel};
use samp_kernels::{kernel::LinearKind, linear::cuda::Linear};

use crate::{devices, emulator, run_case::LaunchCase as _};

/// The kinds of faults that a mutated kernel shows over several devices.
#[track_caller]
fn faults(kind: LinearKind, tokens: u32, file: &str, from: &str, to: &str) -> Vec<FaultKind> {
    let format = if kind == LinearKind::WgmmaFp8 { "fp8" } else { "nf4" };
    let linear = kernel(kind, format, (200, 640), tokens);
    let edit = Edit { file, from, to };
    let kernel = emulator().compile_edited(&linear.source(), &[edit], Build::Checked);
    let kernel = kernel.unwrap_or_else(|error| panic!("{error}"));
    // One token less than a tile; blocks so few that rings go round, and for mma not a divisor of the groups of rows.
    let blocks = if kind == LinearKind::Mma { 3 } else { 2 };
    let case = Problem::new(&linear, tokens - 1).kernel_case(tokens - 1, blocks);
    let runs = devices(6).filter_map(|options| kernel.launch_case(&case, options).err());
    runs.map(|error| error.fault().unwrap_or_else(|| panic!("{error}")).kind).collect()
}

#[track_caller]
fn noticed(kind: LinearKind, (file, from, to): (&str, &str, &str), wanted: FaultKind) {
    let tokens = if kind == LinearKind::Gemv { 2 } else { 16 };
    let found = faults(kind, tokens, file, from, to);
    assert!(found.contains(&wanted), "{kind:?} without `{from}` shows {found:?} instead of {wanted:?}");
}

#[test]
fn waits_for_too_little_are_noticed() {
    let (gemv, mma, race) = ("linear_gemv.cuh", "linear_mma.cuh", FaultKind::Race);
    noticed(LinearKind::Gemv, (gemv, "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"), race);
    noticed(LinearKind::Gemv, (gemv, "iter / ITERS % 2 *", "0 *"), race);
    noticed(LinearKind::Mma, (mma, "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"), race);
    noticed(LinearKind::Wgmma, ("linear_wgmma.cuh", "copy_wait<LAG>();", "copy_wait<LAG + 1>();"), race);
}

/// What an edited kernel over fp8 computes must be wrong. Its results are f32, so that no rounding hides anything.
#[track_caller]
fn wrong(cols: u32, (file, from, to): (&str, &str, &str)) {
    let linear = Linear { f32_out: true, ..kernel(LinearKind::WgmmaFp8, "fp8", (24, cols), 16) };
    let kernel = emulator().compile_edited(&linear.source(), &[Edit { file, from, to }], Build::Plain);
    let kernel = kernel.unwrap_or_else(|error| panic!("{error}"));
    let case = Problem::new(&linear, 15).kernel_case(15, 1);
    let options = devices(1).next().expect("a device");
    let written = kernel.launch_case(&case, options).unwrap_or_else(|error| panic!("{error}"));
    let part = case.check(&written);
    assert!(part.is_err(), "`{to}` for `{from}` takes {part:?} of the tolerance");
}

#[test]
fn wgmma_fp8_mutations() {
    noticed(
        LinearKind::WgmmaFp8,
        ("output.cuh", "token_scales[token]", "token_scales[token + 1]"),
        FaultKind::Bounds,
    );
    wrong(256, ("output.cuh", "token_scales[token]", "token_scales[0]"));
    wrong(256, ("weights.cuh", "0x5410 : 0x7632", "0x1054 : 0x7632"));
    // Thousands of products in one sum of the units.
    let promoted = "static constexpr bool BLOCK_SCALED = true;\n  DEV Fp8Codes";
    wrong(8192, ("weights.cuh", promoted, "DEV Fp8Codes"));
}
