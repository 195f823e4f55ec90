//! attention_decode and attention_prefill against the reference.

use samp_emulator::{Edit, FaultKind};
use samp_kernel_cases::attention::{self, Kernel};

use crate::{harness::*, subjects::attention};

#[test]
fn decode_is_the_references() {
    hold(&attention::decode());
}

#[test]
fn prefill_is_the_references() {
    hold(&attention::prefill());
}

#[test]
fn attention_without_mask_or_bound_is_wrong() {
    let (file, to) = ("attention.cuh", "visible.first[row] <= position;");
    let mask = Edit { file, from: "visible.first[row] <= position && position <= visible.last[row];", to };
    let clamp = Edit { file, from: "least(g + i * 8, most)", to: "(g + i * 8)" };
    let clamp_values =
        Edit { file, from: "least(t * 2 + i % 2 + i / 2 * 8, most)", to: "(t * 2 + i % 2 + i / 2 * 8)" };
    for kernel in [Kernel::Decode, Kernel::Prefill] {
        let right = |edit| edited(&attention(kernel), edit).expect("no fault");
        assert!(!right(mask), "{kernel:?}: a lost mask changes results");
        assert!(!right(clamp_values), "{kernel:?}: NaN reaches the result");
        // Scores of positions that were never written are masked, whatever they are.
        assert!(right(clamp), "{kernel:?}");
    }
    // Rows beyond the last repeat it, so that lanes write the same place.
    let file = "attention_prefill.cu";
    let bound = Edit { file, from: "    if (first_row + lane / 4 + i * 8 >= rows) continue;\n", to: "" };
    let error = edited(&attention(Kernel::Prefill), bound).expect_err("a race");
    assert_eq!(error.fault().expect("a fault").kind, FaultKind::Race, "{error}");
}
