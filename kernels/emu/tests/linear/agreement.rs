//! Kernels against the reference.

use samp_emulator::Build;
use samp_kernels::{
    cuda::Activation,
    linear::cuda::{Kind, Linear},
    trial::linear::{Case, bf16_cases, cases, fp8_cases, kernel, other_cases},
};

use crate::{compile, devices};

/// Runs a kernel for each number of tokens on each number of blocks, on several devices, which must all give the same bits,
/// near the reference.
#[track_caller]
fn agree(cases: Vec<Case>, build: Build) {
    for case in cases {
        let kernel = compile(&case.linear, build);
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
    agree(cases(Kind::Gemv), Build::Plain);
}

#[test]
fn mma_over_every_format_and_the_widths_of_models() {
    agree(cases(Kind::Mma), Build::Plain);
}

#[test]
fn wgmma_over_every_format_and_the_widths_of_models() {
    agree(cases(Kind::Wgmma), Build::Plain);
}

#[test]
fn activations_of_fp8_over_the_widths_of_models() {
    agree(fp8_cases(), Build::Plain);
    let none = |format: &str, cols| Linear::new(Kind::WgmmaFp8, format.parse().unwrap(), (64, cols), 16);
    assert_eq!(none("fp8", 192), None, "half a block of columns");
    assert_eq!(none("int8", 256), None);
}

#[test]
fn activations_of_bf16_over_every_format() {
    agree(bf16_cases(), Build::Plain);
    for (kind, tokens) in [(Kind::Gemv, 3), (Kind::Mma, 16), (Kind::Wgmma, 16)] {
        assert_eq!(kernel(kind, "f16", (72, 640), tokens).with(Activation::Bf16), None);
        assert_eq!(kernel(kind, "bf16", (72, 640), tokens).with(Activation::F16), None);
    }
}

#[test]
fn other_outputs_and_tilings() {
    agree(other_cases(), Build::Plain);
}

#[test]
fn checked_builds_find_no_fault() {
    for (kind, format, tokens) in [
        (Kind::Gemv, "nf4", 2),
        (Kind::Gemv, "int4_asym", 1),
        (Kind::Gemv, "int8", 8),
        (Kind::Mma, "nf4", 8),
        (Kind::Mma, "int4_g64_asym", 32),
        (Kind::Mma, "fp8", 16),
        (Kind::Wgmma, "nf4", 16),
        (Kind::Wgmma, "int4_asym", 64),
        (Kind::Wgmma, "f16", 32),
        (Kind::Wgmma, "bf16", 32),
        (Kind::WgmmaFp8, "fp8", 16),
        (Kind::WgmmaFp8, "fp8_e4m3_tensor", 64),
    ] {
        let linear = Linear { bias: true, ..kernel(kind, format, (200, 640), tokens) };
        let tokens = [tokens - 1, tokens].map(|t| t.max(1)).to_vec();
        agree(vec![Case { linear, tokens, blocks: vec![2, 5] }], Build::Checked);
    }
}
