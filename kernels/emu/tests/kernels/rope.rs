//! rope_append against its reference.

use samp_emulator::{Edit, FaultKind};
use samp_kernels::{
    cuda::Activation,
    trial::{attention::SMALL, rope},
};

use crate::harness::*;

#[test]
fn rope_append_is_the_references() {
    hold(&rope::trials());
}

#[test]
fn rope_append_without_barrier_is_caught() {
    let edit = Edit { file: "rope_append.cu", from: "  block_sync();\n", to: "" };
    let error = edited(&rope::trial(SMALL, Activation::F16, &[(0, 2)]), edit).expect_err("a race");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Race, "{error}");
}
