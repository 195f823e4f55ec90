//! embed, gather, add and silu_mul against their references.

use half::f16;
use samp_emulator::{Arg, Buffer, Build, Edit, FaultKind, Launch, Options};
use samp_kernels::trial;

use crate::harness::*;

#[test]
fn operations_on_rows_are_the_references() {
    hold(&trial::rows::trials());
}

#[test]
fn rows_without_bound_are_caught() {
    let bound = "  if (at >= (size_t)tokens * COLS) return;\n";
    let edit = Edit { file: "silu_mul.cu", from: bound, to: "" };
    let kernel = compiled(&source("silu_mul", &[("COLS", 64)]), &[edit], Build::Checked);
    let gate_up = Buffer::from(&vec![f16::ONE; 128][..]);
    let mut out = Buffer::<f16>::poisoned(64);
    let args = [Arg::read(&gate_up), Arg::write(&mut out), 1.into()];
    let error = kernel.launch(Launch::linear(1, 256), Options::default(), &args).expect_err("an overrun");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Bounds, "{error}");

    let edit = Edit { file: "embed.cuh", from: "  if (token >= tokens) return;\n", to: "" };
    let kernel = compiled(&source("embed_f32", &[("COLS", 64)]), &[edit], Build::Checked);
    let (ids, table) = (Buffer::from(&[0i32][..]), Buffer::from(&vec![1.0f32; 64][..]));
    let mut out = Buffer::<f32>::poisoned(64);
    let args = [Arg::read(&ids), Arg::read(&table), Arg::write(&mut out), 1.into()];
    let error = kernel.launch(Launch::linear(2, 128), Options::default(), &args).expect_err("an overrun");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Bounds, "{error}");
}
