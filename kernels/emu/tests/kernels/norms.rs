//! rms_norm and add_rms_norm against their references.

use half::f16;
use samp_emulator::{Arg, Buffer, Build, Edit, FaultKind, Launch, LaunchError, Options};
use samp_kernels::trial;

use crate::harness::*;

#[test]
fn norms_are_the_references() {
    hold(&trial::norms::trials());
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
            [Arg::read(&x), Arg::read(&weight), Arg::write(&mut out), (tokens as i32).into(), 1e-5.into()];
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

#[test]
fn fp8_activations_in_another_order_are_noticed() {
    let in_fp8 = trial::norms::trials().into_iter().filter(|trial| trial.name.contains("in fp8 [3"));
    let edit = |to| Edit { file: "row.cuh", from: "*(u16*)to = first;", to };
    for trial in in_fp8 {
        let right = |to| edited(&trial, edit(to)).unwrap_or_else(|error| panic!("{error}"));
        assert!(right("*(u16*)to = first;") && !right("*(u16*)to = second;"), "{}", trial.name);
    }
}
