//! rope_append against its reference.

use samp_kernel_cases::rope;

use crate::harness::*;

#[test]
fn rope_append_is_the_references() {
    hold(&rope::cases());
}
