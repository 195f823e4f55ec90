//! The cost model: the only place that turns work and a target into time.

use std::fmt;

use crate::target::Target;
use samp_abi::Format;

/// A predicted time, in nanoseconds.
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
    /// Part of the peak rate of arithmetic that the kernel reaches, from 0 to 1.
    pub efficiency: f64,
}

impl Work {
    /// The work of a pass over activations in f32, at half of the peak rate: such a pass waits for memory.
    pub const fn elementwise(flops: f64, bytes: f64) -> Work {
        Work { flops, compute: Format::F32, bytes, efficiency: 0.5 }
    }

    /// Roofline time on `target` (Williams, Waterman and Patterson, 2009): the larger of compute and memory time, plus
    /// what starting a kernel takes.
    pub fn time(&self, target: &Target) -> Nanos {
        let compute = self.flops / (target.peak_flops(self.compute) * self.efficiency);
        let memory = self.bytes / target.bandwidth;
        Nanos(1e9 * compute.max(memory) + target.launch_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samp_abi::TargetName;

    #[test]
    fn the_slower_of_compute_and_memory_counts() {
        let cpu = Target::of(TargetName::Cpu);
        let moving = Work::elementwise(1.0, cpu.bandwidth);
        assert_eq!(moving.time(cpu), Nanos(1e9 + cpu.launch_ns));
        let computing = Work { flops: cpu.peak_flops(Format::F32), efficiency: 0.5, ..moving };
        assert_eq!(computing.time(cpu), Nanos(2e9 + cpu.launch_ns));
    }
}
