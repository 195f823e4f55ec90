//! rms_norm and add_rms_norm against their references.

use samp_emulator::{Build, Edit, FaultKind, Options};
use samp_kernel_cases::{self as cases, norms::Shape};
use samp_kernels::cuda::Activation;

use crate::harness::*;

pub const SMALL: Shape = Shape { tokens: 2, width: 500, activation: Activation::F16 };

#[test]
fn norms_are_the_references() {
    hold(&cases::norms::cases());
}

#[test]
fn faults_name_their_line() {
    let barrier = Edit { file: "row.cuh", from: "  block_sync();\n", to: "" };
    let error = edited(&SMALL.alone(), barrier).expect_err("a race");
    let fault = error.fault().expect("a fault");
    assert_eq!((fault.kind, fault.line.as_ref().expect("a line").0.as_str()), (FaultKind::Race, "row.cuh"));
}

#[test]
fn too_little_shared_memory_is_caught() {
    let mut case = SMALL.alone();
    case.grid.shared_bytes -= 4;
    let kernel = compiled(&case.source, &[], Build::Checked);
    let error = kernel.launch_case(&case, Options::default()).expect_err("an overrun");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Bounds, "{error}");
}

#[test]
fn fp8_activations_in_another_order_are_noticed() {
    let in_fp8 = cases::norms::cases().into_iter().filter(|case| case.name.contains("in fp8 [3"));
    let edit = |to| Edit { file: "row.cuh", from: "*(u16*)to = first;", to };
    for case in in_fp8 {
        let right = |to| edited(&case, edit(to)).unwrap_or_else(|error| panic!("{error}"));
        assert!(right("*(u16*)to = first;") && !right("*(u16*)to = second;"), "{}", case.name);
    }
}
