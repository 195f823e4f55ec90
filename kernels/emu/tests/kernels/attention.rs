//! attention_decode and attention_prefill against the reference.

use samp_emulator::{Edit, FaultKind, LaunchError};
use samp_kernels::{
    cuda::Activation,
    trial::attention::{self, Case, Kernel, SMALL},
};

use crate::harness::*;

#[test]
fn decode_is_the_references() {
    hold(&attention::decode());
}

#[test]
fn prefill_is_the_references() {
    hold(&attention::prefill());
}

/// The first fault of an edited kernel, or whether its results were right.
fn after(kernel: Kernel, edit: Edit<'_>) -> Result<bool, LaunchError> {
    let case = Case { kernel, heads: SMALL, window: 0, spans: &[(150, 2), (5, 3)] };
    edited(&case.trial(Activation::F16), edit)
}

fn assert_fault(result: Result<bool, LaunchError>, kind: FaultKind) {
    let error = result.expect_err("a fault");
    assert_eq!(error.fault().expect("a fault").kind, kind, "{error}");
}

#[test]
fn attention_without_barrier_mask_or_bound_is_caught() {
    let file = "attention_decode.cu";
    let before_merge = Edit {
        file,
        from: "  write_part(own_parts + warp * PART, attended, lane);\n  block_sync();\n",
        to: "  write_part(own_parts + warp * PART, attended, lane);\n",
    };
    assert_fault(after(Kernel::Decode, before_merge), FaultKind::Race);
    let before_flag = Edit {
        file,
        from: "  block_sync();\n  if (*flag == 0) return;\n",
        to: "  if (*flag == 0) return;\n",
    };
    assert_fault(after(Kernel::Decode, before_flag), FaultKind::Race);

    let (file, to) = ("attention.cuh", "visible.first[row] <= position;");
    let mask = Edit { file, from: "visible.first[row] <= position && position <= visible.last[row];", to };
    let clamp = Edit { file, from: "least(g + i * 8, most)", to: "(g + i * 8)" };
    let clamp_values =
        Edit { file, from: "least(t * 2 + i % 2 + i / 2 * 8, most)", to: "(t * 2 + i % 2 + i / 2 * 8)" };
    for kernel in [Kernel::Decode, Kernel::Prefill] {
        let right = |edit| after(kernel, edit).expect("no fault");
        assert!(!right(mask), "{kernel:?}: a lost mask changes results");
        assert!(!right(clamp_values), "{kernel:?}: NaN reaches the result");
        // Scores of positions that were never written are masked, whatever they are.
        assert!(right(clamp), "{kernel:?}");
    }
    let file = "attention_prefill.cu";
    let bound = Edit { file, from: "    if (first_row + lane / 4 + i * 8 >= rows) continue;\n", to: "" };
    assert!(after(Kernel::Prefill, bound).is_ok(), "rows beyond the last repeat it");
    let rows = Edit { file, from: "  if (first_row >= rows) return;\n", to: "" };
    assert_fault(after(Kernel::Prefill, rows), FaultKind::Bounds);
}
