//! Memory that kernels size while they run: partial sums, and counters that are zero between launches.

use samp_kernels::{instantiate::LaunchOp, target::Target};

use super::{Arg, Driver, DriverError};

/// One piece for all kernels, which run one after another.
pub(super) struct Scratch<M> {
    sums: M,
    counters: M,
}

/// How many partial sums (f32) and counters (u32) a launch needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WorkspaceSize {
    pub sums: u64,
    pub counters: u64,
}

impl WorkspaceSize {
    /// What a kernel takes for so many rows, of sequences of `longest` positions at most.
    pub fn for_launch(kernel: &LaunchOp, rows: u32, longest: u32, target: &Target) -> WorkspaceSize {
        let (sums, counters) = match kernel {
            LaunchOp::Linear(linear) => {
                let [blocks, tiles, _] = linear.grid(rows, target).blocks;
                linear.workspace(blocks, tiles)
            }
            LaunchOp::Attention(attention) => {
                attention.decode_workspace(rows, attention.decode_splits(rows, longest, target))
            }
            _ => (0, 0),
        };
        WorkspaceSize { sums, counters }
    }

    /// Enough for both.
    pub fn max(self, other: WorkspaceSize) -> WorkspaceSize {
        WorkspaceSize { sums: self.sums.max(other.sums), counters: self.counters.max(other.counters) }
    }
}

impl<M> Scratch<M> {
    pub fn new(driver: &impl Driver<Memory = M>, size: WorkspaceSize) -> Result<Scratch<M>, DriverError> {
        let sums = driver.allocate("partial sums", 4 * size.sums.max(1))?;
        Ok(Scratch { sums, counters: driver.allocate("counters", 4 * size.counters.max(1))? })
    }

    /// As kernels take them.
    pub fn args(&self, size: WorkspaceSize) -> [Arg<'_, M>; 2] {
        [
            Arg::Memory { memory: &self.sums, offset: 0, bytes: 4 * size.sums },
            Arg::Memory { memory: &self.counters, offset: 0, bytes: 4 * size.counters },
        ]
    }
}
