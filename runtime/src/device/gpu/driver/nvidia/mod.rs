//! NVIDIA's GPUs by the CUDA driver, which is loaded when a GPU is first opened: without it everything else works.

mod context;
mod cubin;
mod error;
mod event;
mod graph;
mod info;
mod launch;
mod memory;
mod module;
mod staging;

use std::{cell::RefCell, sync::Arc};

use samp_kernels::cuda::{Grid, Source};

use super::{Arg, Driver, DriverError};
use context::Context;
use staging::Staging;

pub use event::Event;
pub use graph::CudaGraph;
pub use info::DeviceInfo;
pub use memory::CudaMemory;
pub use module::CudaKernel;

/// One GPU with one stream of work.
pub struct Cuda {
    staging: RefCell<Staging>,
    context: Arc<Context>,
}

impl Cuda {
    /// Opens the GPU of this number, as CUDA counts them.
    ///
    /// # Errors
    /// [`DriverError::Absent`] where there is no driver, one that is too old, or no such GPU.
    pub fn open(ordinal: usize) -> Result<Cuda, DriverError> {
        let context = Context::open(ordinal)?;
        let staging = RefCell::new(Staging::new(&context)?);
        Ok(Cuda { staging, context })
    }

    /// What GPU it is.
    pub fn device_info(&self) -> &DeviceInfo {
        &self.context.info
    }

    /// A mark for the stream of work, that keeps the time.
    pub fn event(&self) -> Result<Event, DriverError> {
        Event::timed(&self.context)
    }

    /// Puts a mark behind the work so far. Not among what is recorded.
    pub fn record_event(&self, event: &Event) -> Result<(), DriverError> {
        self.context.outside_recording("recording an event")?;
        event.record()
    }

    /// Milliseconds of the GPU between two recorded marks, after waiting for the second.
    pub fn elapsed_ms(&self, start: &Event, end: &Event) -> Result<f32, DriverError> {
        start.elapsed_ms(end)
    }
}

impl Driver for Cuda {
    type Memory = CudaMemory;
    type Kernel = CudaKernel;
    type Graph = CudaGraph;

    fn allocate(&self, what: &'static str, bytes: u64) -> Result<CudaMemory, DriverError> {
        self.context.outside_recording("allocating memory")?;
        CudaMemory::zeroed(&self.context, what, bytes)
    }

    fn upload(&self, to: &CudaMemory, offset: u64, bytes: &[u8]) -> Result<(), DriverError> {
        self.context.outside_recording("copying to the GPU")?;
        self.staging.borrow_mut().upload(to.address(offset, bytes.len() as u64), bytes)
    }

    fn download(&self, from: &CudaMemory, offset: u64, bytes: &mut [u8]) -> Result<(), DriverError> {
        self.context.outside_recording("copying from the GPU")?;
        self.staging.borrow_mut().download(from.address(offset, bytes.len() as u64), bytes)
    }

    fn free_memory(&self) -> Result<u64, DriverError> {
        self.context.free_memory()
    }

    fn load(&self, source: &Source, cubin: &[u8]) -> Result<CudaKernel, DriverError> {
        self.context.outside_recording("loading a kernel")?;
        CudaKernel::load(&self.context, source, cubin)
    }

    fn launch(
        &self,
        kernel: &CudaKernel,
        grid: Grid,
        args: &[Arg<'_, CudaMemory>],
    ) -> Result<(), DriverError> {
        launch::launch(kernel, grid, args)
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<(), DriverError>) -> Result<CudaGraph, DriverError> {
        self.context.outside_recording("recording launches")?;
        CudaGraph::record(&self.context, work)
    }

    fn replay(&self, graph: &CudaGraph) -> Result<(), DriverError> {
        self.context.outside_recording("launching what was recorded")?;
        graph.launch()
    }

    fn synchronize(&self) -> Result<(), DriverError> {
        self.context.outside_recording("waiting for the GPU")?;
        self.context.wait("waiting for the GPU")
    }
}

#[cfg(test)]
mod tests;
