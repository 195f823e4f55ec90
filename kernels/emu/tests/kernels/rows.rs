//! embed, gather, add and silu_mul against their references.

use samp_kernels::trial;

use crate::harness::*;

#[test]
fn operations_on_rows_are_the_references() {
    hold(&trial::rows::trials());
}
