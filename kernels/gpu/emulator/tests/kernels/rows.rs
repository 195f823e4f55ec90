//! embed, gather, add and silu_mul against their references.

use samp_kernel_cases as cases;

use crate::harness::*;

#[test]
fn operations_on_rows_are_the_references() {
    hold(&cases::rows::cases());
}
