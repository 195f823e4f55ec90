//! What kernels are predicted to take, and which is predicted to take the least.

use crate::{
    cost::Nanos,
    kernel::{Kernel, OpShape},
    measured::Measured,
    registry,
    target::Target,
};
use samp_abi::plan::OpKind;

/// The predicted time of a kernel on a shape, from what was measured on the target, if anything was.
pub fn predicted_time(kernel: &Kernel, shape: &OpShape, target: &Target) -> Nanos {
    Measured::for_target(target.name).time(kernel, shape, target)
}

/// The candidate that is predicted to take the least time; of equals the first in table order.
pub fn cheapest(target: &Target, op: OpKind, shape: OpShape) -> Option<&'static Kernel> {
    let time = |kernel: &Kernel| predicted_time(kernel, &shape, target).0;
    registry::candidates(target, op, shape).min_by(|a, b| time(a).total_cmp(&time(b)))
}
