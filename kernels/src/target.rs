//! The target table: every hardware number that samp uses stands here, each row with its source.

use samp_abi::{Format, TargetName};

/// What one target offers. Rates are the vendor's dense peak; measured tables refine them.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Name on the command line and in plans.
    pub name: TargetName,
    /// What it is, for people.
    pub description: &'static str,
    /// Device memory in bytes; `None` where the host's own memory counts.
    pub memory_bytes: Option<u64>,
    /// Peak memory bandwidth in bytes per second.
    pub bandwidth: f64,
    /// Peak multiply–add rate in floating-point operations per second for each compute type.
    pub peak_flops: fn(Format) -> f64,
    /// Streaming multiprocessors, or cores.
    pub units: u32,
    /// Shared memory of one unit that a kernel may use, in bytes; 0 for a CPU.
    pub shared_memory_bytes: u32,
    /// Compute capability as `(major, minor)`; `None` for a CPU.
    pub compute_capability: Option<(u32, u32)>,
    /// Where the numbers come from.
    pub source: &'static str,
}

impl Target {
    /// The row of `name`.
    pub fn of(_name: TargetName) -> &'static Target {
        todo!("table")
    }
}
