//! The emulator in the place of a GPU: the same kernels and launches, on the CPU. Slow, and checked.

use std::{cell::RefCell, path::Path, sync::Arc};

use samp_emulator::{Build, Emulator, Launch, Options};
use samp_kernels::cuda::{Grid, Source};

mod graph;
mod memory;

use self::{
    graph::{EmulatedGraph, RecordedLaunch},
    memory::{EmulatedKernel, EmulatedMemory},
};
use super::{Arg, Driver, DriverError};

/// The emulated GPU.
pub struct Emulated {
    emulator: Emulator,
    build: Build,
    options: Options,
    /// What is launched while a graph is recorded.
    recording: RefCell<Option<Vec<RecordedLaunch>>>,
}

impl Emulated {
    /// A GPU whose kernels are compiled for the host into a folder that keeps them.
    pub fn new(cache: &Path, build: Build, options: Options) -> Emulated {
        Emulated { emulator: Emulator::new(cache), build, options, recording: RefCell::new(None) }
    }

    /// Refuses what CUDA refuses while it records.
    fn outside_recording(&self, during: &'static str) -> Result<(), DriverError> {
        match *self.recording.borrow() {
            None => Ok(()),
            Some(_) => Err(DriverError::Failed { during, reason: "only launches can be recorded".into() }),
        }
    }

    fn run(
        &self,
        kernel: &EmulatedKernel,
        grid: Grid,
        args: &[Arg<'_, EmulatedMemory>],
    ) -> Result<(), DriverError> {
        let name = kernel.source.symbol;
        let failed =
            |error: &dyn std::error::Error| DriverError::Kernel { kernel: name, reason: error.to_string() };
        let compiled = match kernel.compiled.get() {
            Some(compiled) => compiled,
            None => {
                let compiled = self.emulator.compile(&kernel.source, self.build).map_err(|e| failed(&e))?;
                kernel.compiled.get_or_init(|| compiled)
            }
        };
        let args: Vec<samp_emulator::Arg<'_>> = args.iter().map(memory::argument).collect();
        compiled.launch(Launch::from(grid), self.options, &args).map_err(|e| failed(&e))?;
        Ok(())
    }
}

impl Driver for Emulated {
    type Memory = EmulatedMemory;
    type Kernel = EmulatedKernel;
    type Graph = EmulatedGraph;

    fn allocate(&self, _what: &'static str, bytes: u64) -> Result<EmulatedMemory, DriverError> {
        self.outside_recording("allocating memory")?;
        Ok(EmulatedMemory::zeroed(bytes))
    }

    fn upload(&self, to: &EmulatedMemory, offset: u64, bytes: &[u8]) -> Result<(), DriverError> {
        self.outside_recording("copying to the GPU")?;
        let start = to.range(offset, bytes.len() as u64);
        // SAFETY: the range lies inside of the memory, which nothing else reaches while this runs.
        unsafe { start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn download(&self, from: &EmulatedMemory, offset: u64, bytes: &mut [u8]) -> Result<(), DriverError> {
        self.outside_recording("copying from the GPU")?;
        let start = from.range(offset, bytes.len() as u64);
        // SAFETY: as in `upload`.
        unsafe { start.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn free_memory(&self) -> Result<u64, DriverError> {
        Ok(u64::MAX)
    }

    fn load(&self, source: &Source, _cubin: &[u8]) -> Result<EmulatedKernel, DriverError> {
        Ok(EmulatedKernel { source: source.clone(), compiled: Arc::default() })
    }

    fn launch(
        &self,
        kernel: &EmulatedKernel,
        grid: Grid,
        args: &[Arg<'_, EmulatedMemory>],
    ) -> Result<(), DriverError> {
        if let Some(recorded) = &mut *self.recording.borrow_mut() {
            recorded.push(RecordedLaunch::new(kernel, grid, args));
            return Ok(());
        }
        self.run(kernel, grid, args)
    }

    fn record(
        &self,
        work: &mut dyn FnMut() -> Result<(), DriverError>,
    ) -> Result<EmulatedGraph, DriverError> {
        self.outside_recording("recording launches")?;
        *self.recording.borrow_mut() = Some(vec![]);
        let outcome = work();
        let recorded = self.recording.take().unwrap_or_default();
        outcome.map(|()| EmulatedGraph(recorded))
    }

    fn replay(&self, graph: &EmulatedGraph) -> Result<(), DriverError> {
        self.outside_recording("launching what was recorded")?;
        graph.0.iter().try_for_each(|launch| self.run(&launch.kernel, launch.grid, &launch.args()))
    }

    fn synchronize(&self) -> Result<(), DriverError> {
        Ok(())
    }
}
