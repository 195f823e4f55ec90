//! How many blocks run on a multiprocessor at a time.

use samp_kernels::target::Target;

/// Registers of a multiprocessor, and the most warps and blocks of it: compute capabilities 8.0 and 9.0 in the CUDA C++
/// Programming Guide, "Technical Specifications per Compute Capability".
const REGISTERS: u32 = 65536;
const WARPS: u32 = 64;
const BLOCKS: u32 = 32;
/// Registers are given to warps in runs of so many.
const REGISTER_RUN: u32 = 256;
/// Bytes of shared memory that each block takes beside what it asks for. A multiprocessor has as many more than a block may
/// ask for.
const RESERVED_SHARED: u32 = 1024;

/// What a block takes of a multiprocessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Threads of it, a multiple of 32.
    pub threads: u32,
    /// Registers of a thread, as the assembler reports them.
    pub registers: u32,
    /// Bytes of shared memory that its launch asks for.
    pub shared_bytes: u32,
}

impl Block {
    /// How many of these run at a time on a multiprocessor of `target`.
    pub fn resident(&self, target: &Target) -> u32 {
        let warps = self.threads.div_ceil(32).max(1);
        let of_warp = (self.registers.max(1) * 32).next_multiple_of(REGISTER_RUN);
        let shared = target.shared_memory_bytes + RESERVED_SHARED;
        let by_shared = shared / (self.shared_bytes + RESERVED_SHARED);
        by_shared.min(REGISTERS / of_warp / warps).min(WARPS / warps).min(BLOCKS)
    }
}

#[cfg(test)]
mod tests {
    use samp_abi::TargetName;

    use super::*;

    #[test]
    fn registers_and_shared_memory_both_limit() {
        let (h100, a100) = (Target::of(TargetName::H100), Target::of(TargetName::A100));
        let block = Block { threads: 288, registers: 126, shared_bytes: 96 << 10 };
        assert_eq!(block.resident(h100), 1, "of 228 warps' registers a block takes 9 x 128 x 32");
        let fewer = Block { registers: 96, ..block };
        assert_eq!((fewer.resident(h100), fewer.resident(a100)), (2, 1));
        let most = Block { threads: 32, registers: 16, shared_bytes: 0 };
        assert_eq!(most.resident(h100), 32);
        assert_eq!(Block { shared_bytes: 228 << 10, ..block }.resident(h100), 0);
    }
}
