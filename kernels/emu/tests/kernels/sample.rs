//! sample against its reference: the same token for the same draw, always.

use samp_emulator::{Build, Edit, FaultKind, LaunchError, Options};
use samp_kernels::{
    sample::Choice,
    trial::{Trial, sample},
};

use crate::harness::*;

#[test]
fn the_token_is_the_references() {
    hold(&sample::few());
}

/// In one way: a checked build, whose every load is looked at, would take minutes and show no more.
#[track_caller]
fn hold_plainly(trials: &[Trial]) {
    for trial in trials {
        let kernel = compiled(&trial.source, &[], Build::Plain);
        let written = kernel.try_out(trial, Options::default()).unwrap_or_else(|error| panic!("{error}"));
        trial.check(&written).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn many_tokens_are_the_references() {
    hold_plainly(&sample::many());
}

#[test]
fn the_vocabulary_of_a_large_model() {
    hold_plainly(&sample::large());
}

/// One row, whose token every filter decides.
fn one_row() -> Trial {
    let mut rows = sample::Rows::default();
    let logits = Numbers::new(3).floats(517);
    rows.push(&logits, Choice { temperature: 1.0, top_k: 40, top_p: 0.9, min_p: 0.0 }, 1 << 62);
    rows.trial("one row")
}

fn assert_fault(edit: Edit<'_>, kind: FaultKind) {
    let error: LaunchError = edited(&one_row(), edit).expect_err("a fault");
    assert_eq!(error.fault().expect("a fault").kind, kind, "{error}");
}

#[test]
fn sampling_without_barrier_or_bound_is_caught() {
    let file = "select.cuh";
    let cleared = "= scratch.high[i] = 0;\n    block_sync();\n";
    let added = "measure(logit));\n    });\n    block_sync();\n";
    for from in [cleared, added] {
        let to = from.replace("    block_sync();\n", "");
        assert_fault(Edit { file, from, to: &to }, FaultKind::Race);
    }
    let bound = Edit { file: "sample.cu", from: "  if (row >= rows) return;\n", to: "" };
    assert_fault(bound, FaultKind::Bounds);
}
