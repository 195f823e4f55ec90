//! Devices: what holds a plan's weights, activations and cache, and executes its steps.
//!
//! A device is handed a batch that the engine has checked, and does what the plan says; it decides nothing.

mod bind;
mod cpu;
pub mod gpu;
mod host;
mod reference;
mod replay;

use std::{
    fmt,
    ops::{Range, RangeInclusive},
    str::FromStr,
    sync::Arc,
};

use samp_abi::{
    TargetName,
    plan::{BufferId, KvCache, Model, Program, RowDim, Step, TensorId},
};
use samp_kernels::{
    attention::SequenceSlice,
    encoded::EncodedRef,
    sample::{SampleRequest, SampledToken},
};

use crate::plan::OpenPlan;
pub use replay::Replay;

/// The devices that this build knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// The CPU kernels that the plan names.
    Cpu,
    /// The plain-loop reference of each kernel that the plan names, whatever the target.
    Reference,
    /// The CUDA kernels of a plan for a GPU, emulated on the CPU; slow.
    #[cfg(feature = "emulate")]
    Emulate,
    /// The first GPU of this machine.
    #[cfg(feature = "cuda")]
    Cuda,
}

impl DeviceKind {
    /// Every device of this build.
    pub const ALL: &[DeviceKind] = &[
        DeviceKind::Cpu,
        DeviceKind::Reference,
        #[cfg(feature = "emulate")]
        DeviceKind::Emulate,
        #[cfg(feature = "cuda")]
        DeviceKind::Cuda,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            DeviceKind::Cpu => "cpu",
            DeviceKind::Reference => "reference",
            #[cfg(feature = "emulate")]
            DeviceKind::Emulate => "emulate",
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda => "cuda",
        }
    }

    /// Readies the device for `plan` with a cache of `kv_pages` pages. `taken` hears of the weights that a GPU takes; the
    /// CPU reads them where they are.
    pub fn load(
        self,
        plan: Arc<OpenPlan>,
        kv_pages: u32,
        taken: LoadProgress<'_>,
    ) -> Result<Box<dyn Device>, DeviceError> {
        match self {
            DeviceKind::Cpu => cpu::load(plan, kv_pages),
            DeviceKind::Reference => reference::load(plan, kv_pages),
            #[cfg(feature = "emulate")]
            DeviceKind::Emulate => gpu::load_emulated(plan, kv_pages, taken),
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda => gpu::driver::nvidia::load(plan, kv_pages, taken),
        }
    }

    /// Pages of a KV cache that the device has room for beside `plan`, as many of `wanted` as fit. Host memory is taken only
    /// as it is filled; of a GPU's, the part `utilization` may be used in all.
    pub fn kv_pages(
        self,
        plan: &OpenPlan,
        wanted: RangeInclusive<u32>,
        utilization: f64,
    ) -> Result<u32, DeviceError> {
        match self {
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda => gpu::driver::nvidia::kv_pages(plan, wanted, utilization),
            _ => {
                let _ = (plan, utilization);
                Ok(*wanted.end())
            }
        }
    }
}

/// Hears how many bytes of a plan's weights a device has taken, and of how many.
pub type LoadProgress<'a> = &'a dyn Fn(u64, u64);

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A device name that samp does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown device `{0}`; known are {known}", known = known_devices())]
pub struct ParseDeviceError(pub String);

fn known_devices() -> String {
    DeviceKind::ALL.iter().map(|device| device.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for DeviceKind {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<DeviceKind, ParseDeviceError> {
        DeviceKind::ALL
            .iter()
            .copied()
            .find(|d| d.name() == text)
            .ok_or_else(|| ParseDeviceError(text.into()))
    }
}

/// Why a device cannot serve a plan.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The plan is for another machine.
    #[error(
        "this plan is for {target}, not for the {device} device; compile it for this one, or use `reference`"
    )]
    Target {
        /// What the plan is for.
        target: TargetName,
        /// What was asked for.
        device: DeviceKind,
    },
    /// A kernel that this build lacks or that computes something else.
    #[error(
        "{step}: kernel `{kernel}` is not one of this build's for the operation; compile the model again"
    )]
    Kernel {
        /// The step's label.
        step: String,
        /// The kernel.
        kernel: String,
    },
    /// The plan's machine code is for other GPUs.
    #[error(
        "this plan is for {target}, compute capability {}.{}; found {name}, compute capability {}.{}: compile it for this one",
        expected.0, expected.1, found.0, found.1
    )]
    Capability {
        /// What the plan is for.
        target: TargetName,
        /// Its compute capability.
        expected: (u32, u32),
        /// The GPU.
        name: String,
        /// Its compute capability.
        found: (u32, u32),
    },
    /// The GPU refused.
    #[error(transparent)]
    Driver(#[from] gpu::DriverError),
    /// Memory was refused.
    #[error("the {what} needs {bytes} bytes, which this machine refuses: {source}; {remedy}")]
    Memory {
        /// What it was for.
        what: &'static str,
        /// How much.
        bytes: u64,
        /// What to do.
        remedy: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Where the weights of a program lie.
pub trait Weights: Send + Sync {
    /// The tensor, in the format and layout that its steps' kernels take.
    fn tensor(&self, id: TensorId) -> EncodedRef<'_>;
}

impl Weights for Arc<OpenPlan> {
    fn tensor(&self, id: TensorId) -> EncodedRef<'_> {
        OpenPlan::tensor(self, id)
    }
}

/// What is executed, apart from the weights.
#[derive(Clone, Debug)]
pub struct Executable {
    /// The steps.
    pub program: Program,
    /// What the model is.
    pub model: Model,
    /// How keys and values are kept.
    pub kv: KvCache,
    /// Size of the activation arena in bytes.
    pub arena_bytes: u64,
}

impl Executable {
    fn of(plan: &OpenPlan) -> Executable {
        let manifest = plan.manifest();
        Executable {
            program: manifest.program.clone(),
            model: manifest.model.clone(),
            kv: manifest.kv.clone(),
            arena_bytes: manifest.memory.arena_bytes,
        }
    }
}

/// A checked ragged batch: the tokens of several sequences one after another. Sequences of one token stand best at the front,
/// where GPUs have a kernel for them.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// All tokens.
    pub token_ids: &'a [u32],
    /// Whose they are; their `tokens` add up to `token_ids.len()`.
    pub sequences: &'a [SequenceSlice<'a>],
    /// Rows of the batch whose logits are wanted.
    pub output_rows: &'a [u32],
}

/// Executes steps of one plan. One at a time; holds the cache of all sequences.
pub trait Device: Send {
    /// Executes the program over `batch`, and writes `[output_rows, vocab]` into `logits`. `observer` sees the
    /// buffers after each step.
    fn step(
        &mut self,
        batch: &Batch<'_>,
        logits: &mut [f32],
        observer: Option<&mut dyn Observer>,
    ) -> Result<(), DeviceError>;

    /// Executes the program over `batch`, and chooses a token by the logits of each output row: `picks` and `picked` have
    /// one entry for each, `None` where a logit is NaN or positive infinity, or none is finite. The logits stay where they are.
    fn step_and_sample(
        &mut self,
        batch: &Batch<'_>,
        picks: &[SampleRequest],
        picked: &mut [Option<SampledToken>],
    ) -> Result<(), DeviceError>;
}

/// Looks at activations as a program runs: calibration, tracing, comparison layer by layer.
pub trait Observer {
    /// Called after step `index` of the program. Its operands still hold what it read, except one that it
    /// overwrote in place.
    fn after_step(&mut self, index: usize, step: &Step, buffers: &BufferView<'_>);
}

/// The activations of the running step.
pub struct BufferView<'a> {
    arena: &'a [f32],
    spans: &'a [Span],
    rows: RowCounts,
}

impl BufferView<'_> {
    /// The elements of a buffer, `[rows, width]` for the rows of this batch. Meaningful while the buffer is in use.
    pub fn get(&self, id: BufferId) -> &[f32] {
        &self.arena[self.spans[id.0 as usize].range(self.rows)]
    }

    /// Elements of a row of a buffer.
    pub fn width(&self, id: BufferId) -> usize {
        self.spans[id.0 as usize].width
    }
}

/// How many rows the buffers of a batch have.
#[derive(Clone, Copy, Debug)]
struct RowCounts {
    tokens: usize,
    outputs: usize,
}

impl RowCounts {
    fn of(batch: &Batch<'_>) -> RowCounts {
        RowCounts { tokens: batch.token_ids.len(), outputs: batch.output_rows.len() }
    }
}

/// A buffer as a range of f32 elements of the arena in host memory, where every element takes four bytes whatever its type
/// on the plan's target.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    width: usize,
    rows: RowDim,
}

impl Span {
    /// The spans of all buffers, and how many elements they lie in. Offsets are counted in elements of the narrowest type:
    /// then buffers that do not overlap in the plan do not overlap here.
    fn all(program: &Program, arena_bytes: u64) -> (Vec<Span>, u64) {
        let narrowest = program.buffers.iter().map(|b| b.dtype.bytes()).min().unwrap_or(4);
        let span = |b: &samp_abi::plan::Buffer| Span {
            start: (b.offset / narrowest) as usize,
            width: b.width as usize,
            rows: b.rows,
        };
        (program.buffers.iter().map(span).collect(), arena_bytes / narrowest)
    }

    fn count(&self, rows: RowCounts) -> usize {
        match self.rows {
            RowDim::Tokens => rows.tokens,
            RowDim::Outputs => rows.outputs,
        }
    }

    fn range(&self, rows: RowCounts) -> Range<usize> {
        self.start..self.start + self.count(rows) * self.width
    }
}
