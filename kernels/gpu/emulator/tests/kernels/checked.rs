//! Every kernel in the checked build: no fault, and the reference's results.

use samp_emulator::{AsyncMode, Build, Options};
use samp_kernels::cuda::KERNELS;

use crate::{
    harness::{LaunchCase as _, compiled},
    subjects,
};

/// Runs every kernel whose name `wanted` takes.
#[track_caller]
fn hold_checked(wanted: impl Fn(&str) -> bool) {
    let stems: Vec<&str> = KERNELS.iter().map(|(stem, _)| *stem).filter(|stem| wanted(stem)).collect();
    assert!(!stems.is_empty());
    for case in stems.into_iter().flat_map(subjects::cases) {
        let kernel = compiled(&case.source, &[], Build::Checked);
        for (seed, async_mode) in (1..).zip(AsyncMode::ALL) {
            let written = kernel.launch_case(&case, Options { seed, async_mode });
            let written = written.unwrap_or_else(|error| panic!("{} ({async_mode:?}): {error}", case.name));
            case.check(&written).unwrap_or_else(|error| panic!("{async_mode:?}: {error}"));
        }
    }
}

// Together these take every kernel: what one leaves to others they take.

#[test]
fn linears_for_a_few_tokens() {
    hold_checked(|stem| stem.ends_with("_gemv"));
}

#[test]
fn linears_on_mma_units() {
    hold_checked(|stem| stem.ends_with("_mma"));
}

#[test]
fn linears_on_wgmma_units() {
    hold_checked(|stem| stem.ends_with("_wgmma"));
}

#[test]
fn all_but_linears() {
    hold_checked(|stem| !["_gemv", "_mma", "_wgmma"].iter().any(|kind| stem.ends_with(kind)));
}
