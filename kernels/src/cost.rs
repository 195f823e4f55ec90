//! The cost model: the only place that turns work and a target into time.

use std::fmt;

use crate::target::Target;
use samp_abi::Format;

/// Predicted time.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Nanos(pub f64);

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} ns", self.0)
    }
}

/// What a kernel does for one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Floating-point operations, a multiply–add counted as two.
    pub flops: f64,
    /// The type the operations run in, which picks the target's peak rate.
    pub compute: Format,
    /// Bytes moved between memory and the kernel.
    pub bytes: f64,
    /// Part of the peak rates that the kernel reaches, from 0 to 1.
    pub efficiency: f64,
}

impl Work {
    /// Roofline time on `target`: the larger of compute and memory time, plus the launch overhead.
    pub fn time(&self, _target: &Target) -> Nanos {
        todo!("roofline")
    }
}
