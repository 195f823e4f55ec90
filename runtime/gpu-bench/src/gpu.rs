//! The GPU that is measured, and kernels that are ready on it.

use samp_kernels::{
    cuda::{Grid, Source},
    target::Target,
};
use samp_runtime::device::gpu::{Arg, Driver, DriverError};

use crate::{clock::Clock, code::Code, error::GpuError};

/// A GPU at work: its driver, its clock, and the code for it.
pub struct Gpu<'a, D: Driver> {
    /// Does what is asked.
    pub driver: &'a D,
    /// Says how long it took.
    pub clock: &'a dyn Clock,
    /// Machine code of every kernel that is launched.
    pub code: Code,
    /// Which GPU launches are made for.
    pub target: &'static Target,
}

/// A kernel that can be launched, and the size of the launch.
pub struct Ready<K> {
    pub(crate) kernel: K,
    grid: Grid,
}

impl<D: Driver> Gpu<'_, D> {
    /// Loads a kernel that is launched in this size.
    pub fn ready(&self, source: &Source, grid: Grid) -> Result<Ready<D::Kernel>, GpuError> {
        Ok(Ready { kernel: self.driver.load(source, &self.code.cubin(source)?)?, grid })
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
