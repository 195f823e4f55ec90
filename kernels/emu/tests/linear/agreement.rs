//! Kernels against the reference.

use samp_emulator::Build;
use samp_kernels::{
    cuda::Activation,
    linear::cuda::{Kind, Linear},
};

use crate::{compile, devices, linear, problem::Problem};

/// Runs a kernel for each number of tokens on each number of blocks (as many as there are parts at most), on several
/// devices, which must all give the same bits, near the reference.
#[track_caller]
fn agrees(linear: &Linear, build: Build, tokens: &[u32], blocks: &[u32]) {
    let kernel = compile(linear, build);
    let problem = Problem::new(linear, *tokens.iter().max().expect("some tokens"));
    for &tokens in tokens {
        for blocks in blocks.iter().map(|blocks| (*blocks).min(linear.parts())) {
            let what = format!("{} {linear:?}, {tokens} tokens on {blocks} blocks", linear.source().stem);
            let mut first = None;
            for options in devices(3) {
                let run = problem.run(&kernel, (tokens, blocks), options);
                let found = run.unwrap_or_else(|error| panic!("{what}, {options:?}: {error}"));
                match &first {
                    None => {
                        problem.check(tokens, &found, &what);
                        first = Some(found);
                    }
                    Some(first) => assert!(found == *first, "{what}: other bits on {options:?}"),
                }
            }
        }
    }
}

const ALL: u32 = u32::MAX;

#[test]
fn gemv_over_every_format_and_the_widths_of_models() {
    for (format, shape, tokens) in [
        ("nf4", (24, 28672), 1),
        ("nf4", (40, 896), 4),
        ("fp4", (40, 2048), 2),
        ("int4", (40, 4096), 2),
        ("int4_g64", (17, 14336), 1),
        ("int4_asym", (40, 8192), 2),
        ("int4_g64_asym", (40, 192), 8),
        ("fp8", (40, 4096), 2),
        ("fp8_e4m3_tensor", (16, 1024), 1),
        ("int8", (40, 3072), 2),
        ("f16", (40, 320), 3),
    ] {
        agrees(&linear(Kind::Gemv, format, shape, tokens), Build::Plain, &[1, tokens], &[1, 2]);
    }
}

#[test]
fn mma_over_every_format_and_the_widths_of_models() {
    for (format, shape, tokens) in [
        ("nf4", (72, 28672), 8),
        ("nf4", (200, 896), 64),
        ("fp4", (40, 576), 16),
        ("int4", (136, 4096), 16),
        ("int4_g64", (72, 192), 32),
        ("int4_asym", (72, 2048), 8),
        ("int4_g64_asym", (72, 14336), 8),
        ("fp8", (136, 8192), 8),
        ("fp8_e4m3_tensor", (16, 64), 16),
        ("int8", (136, 1024), 32),
        ("f16", (72, 2048), 16),
    ] {
        agrees(&linear(Kind::Mma, format, shape, tokens), Build::Plain, &[tokens - 3, tokens + 1], &[3, ALL]);
    }
}

#[test]
fn wgmma_over_every_format_and_the_widths_of_models() {
    for (format, shape, tokens) in [
        ("nf4", (136, 8192), 16),
        ("nf4", (40, 896), 128),
        ("fp4", (40, 192), 16),
        ("int4", (136, 2048), 32),
        ("int4_g64", (72, 320), 64),
        ("int4_asym", (264, 1024), 16),
        ("int4_g64_asym", (72, 256), 64),
        ("fp8", (136, 4096), 16),
        ("fp8_e4m3_tensor", (16, 64), 32),
        ("int8", (136, 1024), 64),
        ("f16", (72, 14336), 16),
    ] {
        agrees(
            &linear(Kind::Wgmma, format, shape, tokens),
            Build::Plain,
            &[tokens - 3, tokens + 1],
            &[3, ALL],
        );
    }
}

#[test]
fn activations_of_bf16_over_every_format() {
    let formats = ["nf4", "fp4", "int4", "int4_g64_asym", "fp8", "fp8_e4m3_tensor", "int8", "bf16"];
    for (kind, tokens) in [(Kind::Gemv, 3), (Kind::Mma, 16), (Kind::Wgmma, 16)] {
        for format in formats {
            let linear =
                linear(kind, format, (72, 640), tokens).with(Activation::Bf16).expect("exact weights");
            agrees(&linear, Build::Plain, &[tokens - 1, tokens], &[2, 5]);
        }
        assert_eq!(linear(kind, "f16", (72, 640), tokens).with(Activation::Bf16), None);
        assert_eq!(linear(kind, "bf16", (72, 640), tokens).with(Activation::F16), None);
    }
    for (kind, shape, tokens) in
        [(Kind::Gemv, (17, 2048), 8), (Kind::Mma, (200, 1024), 64), (Kind::Wgmma, (136, 896), 128)]
    {
        let wide = Linear { bias: true, f32_out: true, ..linear(kind, "bf16", shape, tokens) };
        agrees(&wide, Build::Plain, &[tokens - 3], &[1, ALL]);
    }
}

#[test]
fn outputs_in_f32_and_biases() {
    for (kind, tokens) in [(Kind::Gemv, 2), (Kind::Mma, 16), (Kind::Wgmma, 16)] {
        let wide = Linear { bias: true, f32_out: true, ..linear(kind, "f16", (40, 256), tokens) };
        agrees(&wide, Build::Plain, &[tokens], &[2]);
        let narrow = Linear { bias: true, ..linear(kind, "nf4", (40, 256), tokens) };
        agrees(&narrow, Build::Plain, &[tokens], &[2]);
    }
}

#[test]
fn other_tilings_agree_too() {
    let base = linear(Kind::Mma, "nf4", (120, 448), 32);
    for (row_warps, k_warps, tiles_per_warp, stages) in [(2, 4, 2, 3), (1, 2, 1, 5), (4, 1, 2, 2)] {
        let mut linear = base;
        linear.tiling.row_warps = row_warps;
        linear.tiling.k_warps = k_warps;
        linear.tiling.tiles_per_warp = tiles_per_warp;
        linear.tiling.stages = stages;
        agrees(&linear, Build::Plain, &[32], &[1, 2, ALL]);
    }
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
    ] {
        let linear = Linear { bias: true, ..linear(kind, format, (200, 640), tokens) };
        agrees(&linear, Build::Checked, &[tokens - 1, tokens].map(|t| t.max(1)), &[2, 5]);
    }
}
