//! Which unit of a multiprocessor an instruction takes, and for how long.
//!
//! Intervals follow from the results per clock and multiprocessor in "Throughput of Native Arithmetic Instructions", CUDA C++
//! Programming Guide: with 64, each of the four schedulers has a unit of 16 lanes, which takes a warp's instruction every second
//! clock. Latencies and the rates of matrix units are of Luo et al., "Benchmarking and Dissecting the Nvidia Hopper GPU
//! Architecture via Microbenchmarking" (arXiv 2402.13499), where the text does not say otherwise.

use crate::sass::Instruction;

/// A unit that instructions wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pipe {
    /// Integers, logic, permutations of bytes, comparisons, conversions of packed values.
    Alu,
    /// Multiply–add, of floats and of integers.
    Fma,
    /// Approximate functions and most conversions.
    Special,
    /// Shared and global memory, shuffles and barriers in shared memory: one queue for the multiprocessor.
    Memory,
    /// Matrix units.
    Matrix,
    /// Values that the whole warp shares.
    Uniform,
    /// The constant cache.
    Constant,
    /// Branches, barriers, and whatever else only issues.
    Control,
}

impl Pipe {
    /// Every pipe, in the order of their declaration.
    pub const ALL: [Pipe; 8] = [
        Pipe::Alu,
        Pipe::Fma,
        Pipe::Special,
        Pipe::Memory,
        Pipe::Matrix,
        Pipe::Uniform,
        Pipe::Constant,
        Pipe::Control,
    ];

    /// The pipe of an instruction.
    pub fn of(instruction: &Instruction) -> Pipe {
        match instruction.mnemonic() {
            "HMMA" | "HGMMA" | "QGMMA" | "IMMA" | "QMMA" => Pipe::Matrix,
            "FFMA" | "FADD" | "FMUL" | "IMAD" | "HFMA2" | "HADD2" | "HMUL2" | "HSET2" | "HMNMX2" => Pipe::Fma,
            "MUFU" | "I2F" | "F2I" | "F2F" | "FRND" | "POPC" | "FLO" | "BREV" | "DADD" | "DMUL" | "DFMA"
            | "DSETP" => Pipe::Special,
            "LDS" | "STS" | "LDG" | "STG" | "LDSM" | "LDGSTS" | "ATOM" | "ATOMG" | "ATOMS" | "RED" | "LD"
            | "ST" | "SHFL" | "UBLKCP" | "SYNCS" => Pipe::Memory,
            "LDC" | "ULDC" => Pipe::Constant,
            "BRA" | "EXIT" | "BAR" | "BSSY" | "BSYNC" | "NOP" | "DEPBAR" | "LDGDEPBAR" | "WARPGROUP"
            | "WARPSYNC" | "MEMBAR" | "FENCE" | "ERRBAR" | "CCTL" | "S2R" | "S2UR" | "ELECT" | "ACQBULK"
            | "PREEXIT" | "YIELD" | "CALL" | "RET" | "BREAK" => Pipe::Control,
            mnemonic if mnemonic.starts_with('U') => Pipe::Uniform,
            _ => Pipe::Alu,
        }
    }
}

/// What the model knows of an architecture, in clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timings {
    /// Between two f32 multiply–adds of a scheduler: 64 lanes a multiprocessor on compute capability 8.0, 128 on 9.0.
    f32_interval: u64,
    /// Between two `mma.m16n8k16` of a scheduler: 1024 and 2048 multiply–adds a clock and multiprocessor; on Hopper `mma`
    /// reaches 63 % of that.
    mma_interval: u64,
    /// Until the sums of an `mma` may be added to.
    mma_latency: u64,
    /// Of shared memory.
    shared_latency: u64,
    /// Of global memory where the nearest cache has it.
    cached_latency: u64,
    /// Of global memory where only the L2 cache has it.
    l2_latency: u64,
    /// Of global memory where no cache has it, under load: 450 ns. Unloaded, 470 clocks were measured on both.
    pub(crate) memory_latency: u64,
}

/// Compute capability 8.0.
pub const AMPERE: Timings = Timings {
    f32_interval: 2,
    mma_interval: 8,
    mma_latency: 25,
    shared_latency: 29,
    cached_latency: 38,
    l2_latency: 262,
    memory_latency: 635,
};

/// Compute capability 9.0.
pub const HOPPER: Timings = Timings {
    f32_interval: 1,
    mma_interval: 6,
    mma_latency: 32,
    shared_latency: 29,
    cached_latency: 41,
    l2_latency: 263,
    memory_latency: 825,
};

/// Of reading a constant, of shuffles, of special registers, of approximate functions: all about as much.
const SHORT_LATENCY: u64 = 24;
/// From the end of a `wgmma` to when its sums may be read.
const WGMMA_LATENCY: u64 = 16;
/// The least that a `wgmma` keeps the units busy, however few its columns are.
const WGMMA_LEAST: u64 = 16;
/// Bytes of shared memory that are read in one clock: all 32 banks.
const WAVEFRONT_BYTES: u64 = 128;

impl Timings {
    /// Of the GPUs of a compute capability. Nothing for one that the model does not know.
    pub fn for_capability(capability: (u32, u32)) -> Option<Timings> {
        match capability {
            (8, 0) => Some(AMPERE),
            (9, 0) => Some(HOPPER),
            _ => None,
        }
    }

    /// The same where what is loaded lies in memory and nowhere nearer.
    pub fn from_memory(self) -> Timings {
        Timings { cached_latency: self.memory_latency, ..self }
    }

    /// The same where what is loaded lies in the L2 cache and nowhere nearer.
    pub fn from_l2(self) -> Timings {
        Timings { cached_latency: self.l2_latency, ..self }
    }

    /// How long an instruction keeps its scheduler's pipe from the next.
    pub(crate) fn interval(&self, instruction: &Instruction) -> u64 {
        match (Pipe::of(instruction), instruction.mnemonic()) {
            (Pipe::Fma, "FFMA" | "FADD" | "FMUL") => self.f32_interval,
            // 128 packed pairs a clock and multiprocessor on both.
            (Pipe::Fma, "HFMA2" | "HADD2" | "HMUL2" | "HSET2" | "HMNMX2") => 1,
            (Pipe::Alu | Pipe::Fma | Pipe::Uniform | Pipe::Constant, _) => 2,
            // 16 lanes a multiprocessor.
            (Pipe::Special, _) => 8,
            (Pipe::Matrix, "HMMA" | "IMMA" | "QMMA") => self.mma_interval,
            // A warp's share of 64 rows: N x K of them, at 512 multiply–adds of 16 bits a clock and scheduler.
            (Pipe::Matrix, _) => (wgmma_columns(instruction) / 2).max(WGMMA_LEAST),
            (Pipe::Memory | Pipe::Control, _) => 1,
        }
    }

    /// Clocks from issue, or for memory from when the queue has come to it, until results may be read.
    pub(crate) fn latency(&self, instruction: &Instruction) -> u64 {
        match (Pipe::of(instruction), instruction.mnemonic()) {
            (Pipe::Memory, "LDG" | "LD") => self.cached_latency,
            (Pipe::Memory, "SHFL") => SHORT_LATENCY,
            (Pipe::Memory, _) => self.shared_latency,
            (Pipe::Matrix, "HMMA" | "IMMA" | "QMMA") => self.mma_latency,
            (Pipe::Matrix, _) => self.interval(instruction) + WGMMA_LATENCY,
            (Pipe::Special | Pipe::Constant, _) => SHORT_LATENCY,
            (Pipe::Control, "S2R" | "S2UR") => SHORT_LATENCY,
            _ => 0,
        }
    }
}

/// Columns of a `wgmma`: the N of `HGMMA.64xNx16`.
pub(crate) fn wgmma_columns(instruction: &Instruction) -> u64 {
    shape(instruction).map_or(0, |[_, columns, _]| columns)
}

/// M, N and K of a matrix instruction: `HMMA.16816` has 16, 8 and 16.
fn shape(instruction: &Instruction) -> Option<[u64; 3]> {
    let mut modifiers = instruction.opcode.split('.').skip(1);
    if instruction.has("16816") {
        return Some([16, 8, 16]);
    }
    let sizes = modifiers.find(|part| part.contains('x'))?;
    let mut sizes = sizes.split('x').map(|size| size.parse().ok());
    Some([sizes.next()??, sizes.next()??, sizes.next()??])
}

/// Elements of the row operand that a warp's matrix instruction takes: 16 rows of K.
pub(crate) fn row_elements(instruction: &Instruction) -> u64 {
    shape(instruction).map_or(0, |[_, _, depth]| 16 * depth)
}

/// Columns that a matrix instruction takes: tokens, where weights are the rows.
pub(crate) fn columns(instruction: &Instruction) -> u64 {
    shape(instruction).map_or(0, |[_, columns, _]| columns)
}

/// Wavefronts of shared memory that a warp's instruction takes, one a clock and multiprocessor, where no banks conflict. A
/// `wgmma` reads its column operand once for its four warps.
pub fn wavefronts(instruction: &Instruction) -> u64 {
    if instruction.is_never_executed() {
        return 0;
    }
    let wide = if instruction.has("128") {
        4
    } else if instruction.has("64") {
        2
    } else {
        1
    };
    match instruction.mnemonic() {
        // Only some lanes load: those whose tokens are there.
        "LDS" if instruction.is_conditional() && wide == 4 => 1,
        "LDSM" => match instruction.opcode.rsplit('.').next() {
            Some("4") => 4,
            Some("2") => 2,
            _ => 1,
        },
        "LDS" | "STS" | "LDG" | "STG" | "LDGSTS" | "SHFL" | "ATOMS" => wide,
        "HGMMA" => wgmma_columns(instruction) * 32 / WAVEFRONT_BYTES / 4,
        "QGMMA" => wgmma_columns(instruction) * 32 / WAVEFRONT_BYTES / 4,
        "SYNCS" | "UBLKCP" | "ATOM" | "ATOMG" | "RED" | "LD" | "ST" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sass::Control;

    fn instruction(opcode: &str, guard: Option<&str>) -> Instruction {
        let guard = guard.map(str::to_owned);
        Instruction { guard, opcode: opcode.into(), operands: String::new(), control: Control::default() }
    }

    #[test]
    fn matrix_units_take_as_long_as_their_products() {
        let wgmma = instruction("HGMMA.64x128x16.F32", None);
        assert_eq!((HOPPER.interval(&wgmma), row_elements(&wgmma), columns(&wgmma)), (64, 256, 128));
        assert_eq!(HOPPER.interval(&instruction("HGMMA.64x16x16.F32", None)), WGMMA_LEAST);
        let mma = instruction("HMMA.16816.F32", None);
        assert_eq!((AMPERE.interval(&mma), row_elements(&mma), columns(&mma)), (8, 256, 8));
        assert_eq!(row_elements(&instruction("HMMA.ODDxTEXT.F32", None)), 0);
    }

    #[test]
    fn wavefronts_count_banks() {
        let of = |opcode: &str, guard| wavefronts(&instruction(opcode, guard));
        assert_eq!((of("LDS.128", None), of("LDS.128", Some("P0")), of("LDS.128", Some("!PT"))), (4, 1, 0));
        assert_eq!((of("LDSM.16.M88.4", None), of("LDS", None), of("LDGSTS.E.BYPASS.128", None)), (4, 1, 4));
        assert_eq!((of("HGMMA.64x128x16.F32", None), of("LOP3.LUT", None)), (8, 0));
    }
}
