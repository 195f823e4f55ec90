//! `samp-gpu`: shows on a GPU that the kernels compute what they must, and measures how fast.
//!
//! [`suite`] runs the cases of [`samp_kernel_cases`], [`bench`] measures kernels, and whole steps on the runtime's own
//! device, of models whose weights are made on the GPU. All of it asks a [`Driver`](samp_runtime::device::gpu::Driver), so
//! that everything but time shows on the emulated GPU too. Machine code comes from a folder that [`code::prepare`] fills
//! beforehand: the binary and the folder are all that a GPU machine needs. [`plan`] runs a small model's plan in the runtime's engine, beside a reference.
//!
//! Never: MLIR or LLVM, a compiler on the GPU machine, or files of weights but for such a plan.

pub mod bench;
pub mod clock;
pub mod code;
pub mod kernel_set;
pub mod memory;
pub mod outcome;
pub mod plan;
pub mod shapes;
pub mod suite;
pub mod supervise;

use samp_kernels::{
    cuda::{Grid, Source},
    target::Target,
};
use samp_runtime::{
    DeviceError,
    device::gpu::{Arg, Driver, DriverError},
};

use clock::Clock;
use code::{Code, CodeError};

/// Why something could not be shown or measured.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// The GPU refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The runtime's device refused.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// There is no machine code.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// There is no kernel for what was asked.
    #[error("there is no kernel for {what}; choose another format or shape")]
    Kernel {
        /// For what.
        what: String,
    },
    /// The GPU does nothing more for this process.
    #[error("{unit}: {error}")]
    Lost {
        /// What it was doing.
        unit: String,
        /// What it answered.
        error: Box<GpuError>,
    },
    /// What was measured cannot be kept.
    #[error("writing what was measured: {0}")]
    Output(#[from] std::io::Error),
    /// A step's results are no numbers.
    #[error(
        "the step's logits are not finite, or all zero: its time would say nothing; run `samp-gpu kernels`"
    )]
    NotFinite,
}

/// A GPU at work: its driver, its clock, and the code for it.
pub struct Gpu<'a, D: Driver> {
    /// Does what is asked.
    pub driver: &'a D,
    /// Says how long it took.
    pub clock: &'a dyn Clock,
    /// Machine code.
    pub code: Code,
    /// What it is.
    pub target: &'static Target,
}

/// A kernel that can be launched, and the size of the launch.
pub struct Ready<K> {
    kernel: K,
    grid: Grid,
}

impl<D: Driver> Gpu<'_, D> {
    /// Loads a kernel that is launched in this size.
    pub fn ready(&self, source: &Source, grid: Grid) -> Result<Ready<D::Kernel>, GpuError> {
        Ok(Ready { kernel: self.driver.load(source, &self.code.of(source)?)?, grid })
    }

    /// Launches a kernel.
    pub fn launch(&self, ready: &Ready<D::Kernel>, args: &[Arg<'_, D::Memory>]) -> Result<(), DriverError> {
        self.driver.launch(&ready.kernel, ready.grid, args)
    }

    /// Whether an emulator stands for it, which compiles sources itself.
    pub fn is_emulated(&self) -> bool {
        matches!(self.code, Code::Source)
    }

    /// What it is, for reports.
    pub fn describe(&self) -> String {
        format!("{}{}", self.target.name, if self.is_emulated() { ", emulated" } else { "" })
    }

    /// Whether it has what Hopper brought.
    pub fn is_hopper(&self) -> bool {
        self.target.has_wgmma()
    }
}
