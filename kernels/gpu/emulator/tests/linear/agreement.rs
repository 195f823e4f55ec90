//! Kernels against the reference.

use samp_kernel_cases::linear::{CaseGrid, bf16_grids, format_grids, fp8_grids, kernel, other_grids};
use samp_kernels::{cuda::Activation, kernel::LinearKind, linear::cuda::Linear};

use crate::{compile, devices, run_case::LaunchCase as _};

/// Runs a kernel for each number of tokens on each number of blocks, on several devices, which must all give the same bits,
/// near the reference.
#[track_caller]
fn agree(grids: Vec<CaseGrid>) {
    for grid in grids {
        let kernel = compile(&grid.linear);
        for case in grid.kernel_cases() {
            let mut first = None;
            for options in devices(3) {
                let run = kernel.launch_case(&case, options);
                let written = run.unwrap_or_else(|error| panic!("{}, {options:?}: {error}", case.name));
                case.check(&written).unwrap_or_else(|error| panic!("{options:?}: {error}"));
                let first = first.get_or_insert_with(|| written.clone());
                assert!(case.same(first, &written), "{}: other bits on {options:?}", case.name);
            }
        }
    }
}

#[test]
fn gemv_over_every_format_and_the_widths_of_models() {
    agree(format_grids(LinearKind::Gemv));
}

#[test]
fn mma_over_every_format_and_the_widths_of_models() {
    agree(format_grids(LinearKind::Mma));
}

#[test]
fn wgmma_over_every_format_and_the_widths_of_models() {
    agree(format_grids(LinearKind::Wgmma));
}

#[test]
fn activations_of_fp8_over_the_widths_of_models() {
    agree(fp8_grids());
    let none =
        |format: &str, cols| Linear::new(LinearKind::WgmmaFp8, format.parse().unwrap(), (64, cols), 16);
    assert_eq!(none("fp8", 192), None, "half a block of columns");
    assert_eq!(none("int8", 256), None);
}

#[test]
fn activations_of_bf16_over_every_format() {
    agree(bf16_grids());
    for (kind, tokens) in [(LinearKind::Gemv, 3), (LinearKind::Mma, 16), (LinearKind::Wgmma, 16)] {
        assert_eq!(kernel(kind, "f16", (72, 640), tokens).with(Activation::Bf16), None);
        assert_eq!(kernel(kind, "bf16", (72, 640), tokens).with(Activation::F16), None);
    }
}

#[test]
fn other_outputs_and_tilings() {
    agree(other_grids());
}
