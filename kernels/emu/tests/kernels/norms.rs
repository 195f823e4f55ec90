//! rms_norm and add_rms_norm against their references.

use half::f16;
use samp_emulator::{Arg, Buffer, Build, Edit, FaultKind, Launch, LaunchError, Options};
use samp_kernels::{
    cuda::Activation,
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

    let barrier = Edit { file: "row_norm.cuh", from: "  block_sync();\n", to: "" };
    let error = launch_edited(barrier, 32).expect("a race");
    let fault = error.fault().expect("a fault");
    assert_eq!(fault.kind, FaultKind::Race, "{error}");
    assert_eq!(fault.line.as_ref().expect("a line").0, "row_norm.cuh", "{error}");

    let bound = Edit { file: "row_norm.cuh", from: "    if (column >= COLS) continue;\n", to: "" };
    let error = launch_edited(bound, 32).expect("an overrun");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Bounds, "{error}");

    let error = launch_edited(nothing, 28).expect("too little shared memory");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Bounds, "{error}");
}
