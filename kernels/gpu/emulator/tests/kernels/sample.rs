//! sample against its reference: the same token for the same draw, always.

use samp_emulator::{Build, Options};
use samp_kernel_cases::{KernelCase, sample};
use samp_kernels::sample::{SampleRequest, SamplingParams};

use crate::harness::*;

#[test]
fn the_token_is_the_references() {
    hold(&sample::few());
}

/// In one way: a checked build, whose every load is looked at, would take minutes and show no more.
#[track_caller]
fn hold_plainly(cases: &[KernelCase]) {
    for case in cases {
        let kernel = compiled(&case.source, &[], Build::Plain);
        let written = kernel.launch_case(case, Options::default()).unwrap_or_else(|error| panic!("{error}"));
        case.check(&written).unwrap_or_else(|error| panic!("{error}"));
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

/// A greedy row and two drawn ones, which between them take every way through the kernel.
pub fn kernel_case() -> KernelCase {
    let mut rows = sample::SampleRows::default();
    let logits = RandomValues::new(3).uniforms(517);
    let greedy = SampleRequest::GREEDY.params;
    let filtered = SamplingParams { temperature: 1.0, top_k: 40, top_p: 0.9, min_p: 0.0 };
    for choice in [greedy, filtered, SamplingParams { temperature: 1.0, ..greedy }] {
        rows.push(&logits, choice, 1 << 62);
    }
    rows.kernel_case("in three ways")
}
