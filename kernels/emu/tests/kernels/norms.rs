//! rms_norm and add_rms_norm against their references, and what quantizes rows.

use half::f16;
use samp_emulator::{Arg, Buffer, Build, Edit, FaultKind, Launch, LaunchError, Options};
use samp_kernels::{
    cuda::Activation,
    elementwise::{SiluMulArgs, cuda::Rows, reference::silu_mul},
    format::{FP8_MAX, fp8_to_f32},
    rms_norm::{AddRmsNormArgs, RmsNormArgs, cuda::Norm, reference},
};

use crate::harness::*;

const EPS: f32 = 1e-5;
fn norm(width: usize) -> Norm {
    Norm { cols: width as u32, activation: Activation::F16 }
}

const SHAPES: [(usize, usize); 4] = [(1, 64), (3, 500), (7, 2048), (2, 4096)];

#[test]
fn rms_norm_is_the_references() {
    for (tokens, width) in SHAPES {
        let norm = norm(width);
        let subject = Subject::new(&norm.rms_norm());
        let mut numbers = Numbers::new(width as u64);
        let (x, weight) = (numbers.floats(tokens * width), numbers.floats(width));
        let mut expected = vec![0.0; x.len()];
        reference::rms_norm(RmsNormArgs { x: &x, weight: &weight, eps: EPS.into(), out: &mut expected });
        for way in WAYS {
            let mut out = Buffer::<f16>::poisoned(x.len());
            let (x, weight) = (Buffer::from(&x[..]), Buffer::from(&weight[..]));
            let args =
                [Arg::read(&x), Arg::read(&weight), Arg::write(&mut out), (tokens as i32).into(), EPS.into()];
            // A block more than there are tokens.
            subject.run(way, norm.grid(tokens as u32 + 1), &args);
            let excess = excess(widened(&out), &expected, 1e-7, 1.01 * HALF_ULP);
            assert!(excess <= 1.0, "[{tokens}, {width}] {way:?}: {excess}");
        }
    }
}

#[test]
fn add_rms_norm_is_the_references() {
    for (tokens, width) in SHAPES {
        let norm = norm(width);
        let subject = Subject::new(&norm.add_rms_norm());
        let mut numbers = Numbers::new(width as u64);
        let x = numbers.halves(tokens * width);
        let (residual, weight) = (numbers.floats(x.len()), numbers.floats(width));
        let (mut expected_sum, mut expected) = (residual.clone(), vec![0.0; x.len()]);
        reference::add_rms_norm(AddRmsNormArgs {
            x: &widened(&x),
            sum: &mut expected_sum,
            weight: &weight,
            eps: EPS.into(),
            out: &mut expected,
        });
        for way in WAYS {
            let (mut sum, mut out) = (Buffer::<f32>::poisoned(x.len()), Buffer::<f16>::poisoned(x.len()));
            let (x, residual, weight) =
                (Buffer::from(&x[..]), Buffer::from(&residual[..]), Buffer::from(&weight[..]));
            let args = [
                Arg::read(&x),
                Arg::read(&residual),
                Arg::read(&weight),
                Arg::write(&mut sum),
                Arg::write(&mut out),
                (tokens as i32).into(),
                EPS.into(),
            ];
            subject.run(way, norm.grid(tokens as u32), &args);
            assert_eq!(sum[..], expected_sum[..], "[{tokens}, {width}] {way:?}");
            let excess = excess(widened(&out), &expected, 1e-7, 1.01 * HALF_ULP);
            assert!(excess <= 1.0, "[{tokens}, {width}] {way:?}: {excess}");
        }
    }
}

/// How far rows of E4M3 with a scale each lie from what they should be, as a multiple of half a step.
fn excess_of_fp8(codes: &[u8], scales: &[f32], expected: &[f32]) -> f32 {
    let width = expected.len() / scales.len();
    let rows = codes.chunks_exact(width).zip(expected.chunks_exact(width)).zip(scales);
    rows.fold(0.0, |worst, ((codes, expected), scale)| {
        let most = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let wanted = if most == 0.0 { 1.0 } else { most / FP8_MAX };
        assert!((scale - wanted).abs() <= wanted * 1e-5, "scale {scale} instead of {wanted}");
        let found = codes.iter().map(|code| fp8_to_f32(*code) * scale);
        worst.max(excess(found, expected, scale * 1.01 / 1024.0, 1.01 / 16.0))
    })
}

#[test]
fn norms_and_silu_mul_in_fp8() {
    for (tokens, width) in [(3, 500), (2, 4096)] {
        let (norm, rows) = (norm(width), Rows { cols: width as u32, activation: Activation::F16 });
        let mut numbers = Numbers::new(width as u64);
        let (mut x, weight) = (numbers.floats(tokens * width), numbers.floats(width));
        x[..width].fill(0.0);
        let gate_up = numbers.halves(2 * tokens * width);
        let (mut normed, mut gated) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        reference::rms_norm(RmsNormArgs { x: &x, weight: &weight, eps: EPS.into(), out: &mut normed });
        silu_mul(SiluMulArgs { gate_up: &widened(&gate_up), width, out: &mut gated });
        let halves = Buffer::from(&vec![f16::ZERO; x.len()][..]);
        let (x, weight, gate_up) =
            (Buffer::from(&x[..]), Buffer::from(&weight[..]), Buffer::from(&gate_up[..]));
        let subjects = [norm.to_fp8(norm.rms_norm()), norm.to_fp8(norm.add_rms_norm()), rows.silu_mul_fp8()];
        let subjects = subjects.map(|source| Subject::new(&source));
        let (count, eps): (Arg<'_>, Arg<'_>) = ((tokens as i32).into(), EPS.into());
        for way in WAYS {
            for (i, subject) in subjects.iter().enumerate() {
                let (mut codes, mut scales) =
                    (Buffer::<u8>::poisoned(x.len()), Buffer::<f32>::poisoned(tokens));
                let mut sum = Buffer::<f32>::poisoned(x.len());
                let (out, to) = (Arg::write(&mut codes), Arg::write(&mut scales));
                let (grid, args) = match i {
                    0 => (norm.fp8_grid(4), vec![Arg::read(&x), Arg::read(&weight), out, count, eps, to]),
                    1 => {
                        let read = [Arg::read(&halves), Arg::read(&x), Arg::read(&weight)];
                        let write = [Arg::write(&mut sum), out, count, eps, to];
                        (norm.fp8_grid(4), [&read[..], &write].concat())
                    }
                    _ => (rows.silu_mul_fp8_grid(4), vec![Arg::read(&gate_up), out, to, count]),
                };
                subject.run(way, grid, &args);
                let excess = excess_of_fp8(&codes, &scales, if i < 2 { &normed } else { &gated });
                assert!(excess <= 1.0, "kernel {i} [{tokens}, {width}] {way:?}: {excess}");
            }
        }
    }
}

fn launch_edited(edit: Edit<'_>, shared_bytes: usize) -> Option<LaunchError> {
    let (tokens, width) = (2, 500);
    let source = source("rms_norm", &[("COLS", width)]);
    let kernel = compiled(&source, &[edit], Build::Checked);
    let x = Buffer::from(&vec![1.0f32; tokens * width][..]);
    let weight = Buffer::from(&vec![1.0f32; width][..]);
    first_fault(&kernel, |kernel, options: Options| {
        let mut out = Buffer::<f16>::poisoned(tokens * width);
        let launch = Launch::linear(tokens as u32, 256).shared(shared_bytes);
        let args =
            [Arg::read(&x), Arg::read(&weight), Arg::write(&mut out), (tokens as i32).into(), EPS.into()];
        kernel.launch(launch, options, &args).map(|_| ())
    })
}

#[test]
fn a_norm_without_barrier_or_bound_is_caught() {
    let nothing = Edit { file: "rms_norm.cu", from: "  grid_launch();\n", to: "" };
    assert_eq!(launch_edited(nothing, 32), None);

    let barrier = Edit { file: "row.cuh", from: "  block_sync();\n", to: "" };
    let error = launch_edited(barrier, 32).expect("a race");
    let fault = error.fault().expect("a fault");
    assert_eq!(fault.kind, FaultKind::Race, "{error}");
    assert_eq!(fault.line.as_ref().expect("a line").0, "row.cuh", "{error}");

    let bound = Edit { file: "row_norm.cuh", from: "    if (column_of(turn) >= COLS) continue;\n", to: "" };
    let error = launch_edited(bound, 32).expect("an overrun");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Bounds, "{error}");

    let error = launch_edited(nothing, 28).expect("too little shared memory");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Bounds, "{error}");
}
