//! Kernels against the reference.

use samp_kernel_cases::linear::{Case, bf16_cases, cases, fp8_cases, kernel, other_cases};
use samp_kernels::{cuda::Activation, kernel::LinearKind, linear::cuda::Linear};

use crate::{compile, devices};

/// Runs a kernel for each number of tokens on each number of blocks, on several devices, which must all give the same bits,
/// near the reference.
#[track_caller]
fn agree(cases: Vec<Case>) {
    for case in cases {
        let kernel = compile(&case.linear);
        for trial in case.trials() {
            let mut first = None;
            for options in devices(3) {
                let run = kernel.try_out(&trial, options);
                let written = run.unwrap_or_else(|error| panic!("{}, {options:?}: {error}", trial.name));
                trial.check(&written).unwrap_or_else(|error| panic!("{options:?}: {error}"));
                let first = first.get_or_insert_with(|| written.clone());
                assert!(trial.same(first, &written), "{}: other bits on {options:?}", trial.name);
            }
        }
    }
}

#[test]
fn gemv_over_every_format_and_the_widths_of_models() {
    agree(cases(LinearKind::Gemv));
}

#[test]
fn mma_over_every_format_and_the_widths_of_models() {
    agree(cases(LinearKind::Mma));
}

#[test]
fn wgmma_over_every_format_and_the_widths_of_models() {
    agree(cases(LinearKind::Wgmma));
}

#[test]
fn activations_of_fp8_over_the_widths_of_models() {
    agree(fp8_cases());
    let none =
        |format: &str, cols| Linear::new(LinearKind::WgmmaFp8, format.parse().unwrap(), (64, cols), 16);
    assert_eq!(none("fp8", 192), None, "half a block of columns");
    assert_eq!(none("int8", 256), None);
}

#[test]
fn activations_of_bf16_over_every_format() {
    agree(bf16_cases());
    for (kind, tokens) in [(LinearKind::Gemv, 3), (LinearKind::Mma, 16), (LinearKind::Wgmma, 16)] {
        assert_eq!(kernel(kind, "f16", (72, 640), tokens).with(Activation::Bf16), None);
        assert_eq!(kernel(kind, "bf16", (72, 640), tokens).with(Activation::F16), None);
    }
}

#[test]
fn other_outputs_and_tilings() {
    agree(other_cases());
}
