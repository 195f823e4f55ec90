//! The target table: every hardware number that samp uses stands here, each row with its source.

use samp_abi::{ElementType, Format, TargetName};

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
    /// Peak multiply–add rates by compute type.
    pub peaks: Peaks,
    /// Streaming multiprocessors, or cores.
    pub units: u32,
    /// Clock of a unit in hertz: of a GPU the one at which its matrix units have the peak rate.
    pub clock_hz: f64,
    /// Shared memory of one unit that a kernel may use, in bytes; 0 for a CPU.
    pub shared_memory_bytes: u32,
    /// Compute capability as `(major, minor)`; `None` for a CPU.
    pub compute_capability: Option<(u32, u32)>,
    /// What starting a kernel takes, in nanoseconds.
    pub launch_ns: f64,
    /// Types that kernels take and give activations in, the usual one first; a model keeps to one of them. The residual
    /// stream and the logits are f32.
    pub activations: &'static [ElementType],
    /// Where the numbers come from.
    pub source: &'static str,
}

/// Peak multiply–add rates in operations per second, a multiply–add counted as two, without sparsity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peaks {
    /// f32 outside of matrix units.
    pub f32: f64,
    /// f16 and bf16 with f32 sums.
    pub f16: f64,
    /// fp8 with f32 sums, where the target has such units.
    pub fp8: Option<f64>,
    /// int8 with i32 sums.
    pub int8: f64,
}

/// Hopper's compute capability: the only one with `wgmma` units, and the first that starts a launch before the one ahead has
/// ended.
pub const HOPPER: (u32, u32) = (9, 0);

/// Shared memory of a block on the GPUs that have the least of it, and on those that have the most, in bytes: the maximum
/// amount per thread block of compute capability 8.0 and 9.0 in the CUDA C++ Programming Guide.
pub const LEAST_SHARED_BYTES: u32 = 163 * 1024;
/// The most of [`LEAST_SHARED_BYTES`].
pub const MOST_SHARED_BYTES: u32 = 227 * 1024;

impl Target {
    /// The row of `name`.
    pub fn of(name: TargetName) -> &'static Target {
        match name {
            TargetName::Cpu => &CPU,
            TargetName::A100 => &A100,
            TargetName::H100 => &H100,
            TargetName::H200 => &H200,
        }
    }

    /// Whether it has Hopper's matrix units.
    pub fn has_wgmma(&self) -> bool {
        self.compute_capability == Some(HOPPER)
    }

    /// What activations are stored as beside linears of these formats: as the first type that some weight is plainly stored in,
    /// since such a weight is not exact in another, or else as usual.
    pub fn activations_beside(&self, formats: &[Format]) -> ElementType {
        let stored = |dtype: &&ElementType| formats.iter().any(|format| format.plain() == Some(**dtype));
        *self.activations.iter().find(stored).unwrap_or(&self.activations[0])
    }

    /// Peak rate of operations in `compute`. A type without units of its own runs in f16, into which 4-bit and fp8
    /// values convert exactly.
    pub fn peak_flops(&self, compute: Format) -> f64 {
        match compute {
            Format::F32 => self.peaks.f32,
            Format::Fp8E4m3(_) => self.peaks.fp8.unwrap_or(self.peaks.f16),
            Format::Int8 { .. } => self.peaks.int8,
            Format::F16
            | Format::Bf16
            | Format::Int4 { .. }
            | Format::Int5 { .. }
            | Format::Int6 { .. }
            | Format::Nf4
            | Format::Fp4 => self.peaks.f16,
        }
    }
}

/// Two cores of a server: any CPU runs the same plan, and only the ratio of arithmetic to bandwidth counts in choosing
/// kernels. Types of 16 bits and fp8 are converted to f32 first; two words are multiplied in place of one f32.
static CPU: Target = Target {
    name: TargetName::Cpu,
    description: "any CPU, rated as two AVX-512 server cores",
    memory_bytes: None,
    bandwidth: 20e9,
    peaks: Peaks { f32: 330e9, f16: 330e9, fp8: None, int8: 660e9 },
    units: 2,
    clock_hz: 2.6e9,
    shared_memory_bytes: 0,
    compute_capability: None,
    launch_ns: 2_000.0,
    activations: &[ElementType::F32],
    source: "2 cores x 2.6 GHz x 2 ports x 16 lanes x 2 operations; about 10 GB/s of DRAM per core",
};

static A100: Target = Target {
    name: TargetName::A100,
    description: "NVIDIA A100 SXM 80 GB",
    memory_bytes: Some(80_000_000_000),
    bandwidth: 2.039e12,
    peaks: Peaks { f32: 19.5e12, f16: 312e12, fp8: None, int8: 624e12 },
    units: 108,
    clock_hz: 1.41e9,
    shared_memory_bytes: LEAST_SHARED_BYTES,
    compute_capability: Some((8, 0)),
    launch_ns: 3_000.0,
    activations: SIXTEEN_BITS,
    source: "NVIDIA A100 Tensor Core GPU datasheet (80GB SXM); CUDA C++ Programming Guide, compute capability 8.0",
};

static H100: Target = Target {
    name: TargetName::H100,
    description: "NVIDIA H100 SXM 80 GB",
    memory_bytes: Some(80_000_000_000),
    bandwidth: 3.35e12,
    peaks: HOPPER_PEAKS,
    units: 132,
    clock_hz: 1.83e9,
    shared_memory_bytes: MOST_SHARED_BYTES,
    compute_capability: Some(HOPPER),
    launch_ns: 3_000.0,
    activations: SIXTEEN_BITS,
    source: "NVIDIA H100 Tensor Core GPU datasheet (SXM); CUDA C++ Programming Guide, compute capability 9.0",
};

static H200: Target = Target {
    name: TargetName::H200,
    description: "NVIDIA H200 SXM 141 GB",
    memory_bytes: Some(141_000_000_000),
    bandwidth: 4.8e12,
    peaks: HOPPER_PEAKS,
    units: 132,
    clock_hz: 1.83e9,
    shared_memory_bytes: MOST_SHARED_BYTES,
    compute_capability: Some(HOPPER),
    launch_ns: 3_000.0,
    activations: SIXTEEN_BITS,
    source: "NVIDIA H200 Tensor Core GPU datasheet (SXM); CUDA C++ Programming Guide, compute capability 9.0",
};

/// Both are taken by all matrix units. f16 has more bits, and is enough for what lies between two kernels.
const SIXTEEN_BITS: &[ElementType] = &[ElementType::F16, ElementType::Bf16];

/// The datasheets give the rates with sparsity, twice these.
const HOPPER_PEAKS: Peaks = Peaks { f32: 67e12, f16: 989.5e12, fp8: Some(1979e12), int8: 1979e12 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_of_the_type_of_plain_weights() {
        use {ElementType as E, Format as F};
        let beside = |name, formats: &[Format]| Target::of(name).activations_beside(formats);
        assert_eq!(beside(TargetName::H100, &[F::Nf4, F::INT8]), E::F16);
        assert_eq!(beside(TargetName::H100, &[F::Nf4, F::Bf16]), E::Bf16);
        assert_eq!(beside(TargetName::A100, &[F::Bf16, F::F16]), E::F16, "the usual one of two");
        assert_eq!(beside(TargetName::Cpu, &[F::Bf16]), E::F32);
    }

    #[test]
    fn shared_memory_lies_between_what_the_least_and_the_most_have() {
        let gpus = TargetName::ALL.map(Target::of).into_iter().filter(|row| row.compute_capability.is_some());
        let shared: Vec<u32> = gpus.map(|target| target.shared_memory_bytes).collect();
        assert_eq!(shared.iter().min(), Some(&LEAST_SHARED_BYTES));
        assert_eq!(shared.iter().max(), Some(&MOST_SHARED_BYTES));
    }

    /// 1024 multiply–adds of 16 bits a clock and multiprocessor on compute capability 8.0, 2048 on 9.0: NVIDIA's whitepapers on
    /// the A100 and H100 GPUs.
    #[test]
    fn the_clocks_of_gpus_are_those_of_their_peak_rates() {
        for target in TargetName::ALL.map(Target::of) {
            let flops = match target.compute_capability {
                Some(HOPPER) => 4096.0,
                Some(_) => 2048.0,
                None => continue,
            };
            let peak = f64::from(target.units) * target.clock_hz * flops;
            assert!((peak / target.peaks.f16 - 1.0).abs() < 0.002, "{}: {peak:e}", target.name);
        }
    }

    #[test]
    fn every_target_has_its_own_row() {
        for name in TargetName::ALL {
            let target = Target::of(name);
            assert_eq!(target.name, name);
            assert!(target.bandwidth > 0.0 && target.units > 0 && target.launch_ns > 0.0);
            assert_eq!(target.compute_capability.is_none(), target.memory_bytes.is_none());
            for format in Format::ALL {
                assert!(target.peak_flops(format) >= target.peak_flops(Format::F32), "{name} {format}");
            }
        }
    }
}
