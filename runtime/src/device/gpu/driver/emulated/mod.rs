//! The emulator in the place of a GPU: the same kernels and launches, on the CPU. Slow, and checked.

use std::{
    cell::RefCell,
    path::Path,
    sync::{Arc, OnceLock},
};

use samp_emulator::{Buffer, Build, Emulator, Launch, Options};
use samp_kernels::cuda::{Grid, Source};

mod graph;

use self::graph::{EmulatedGraph, RecordedLaunch};
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
        let args: Vec<samp_emulator::Arg<'_>> = args.iter().map(emulated).collect();
        compiled.launch(Launch::from(grid), self.options, &args).map_err(|e| failed(&e))?;
        Ok(())
    }
}

/// Memory of the emulated GPU; what is recorded keeps it.
#[derive(Clone)]
pub struct EmulatedMemory {
    /// Where `_owner` begins. Kernels and copies reach it by address alone.
    start: *mut u8,
    bytes: u64,
    _owner: Arc<Buffer<u8>>,
}

// SAFETY: the memory belongs to this value and what was recorded with it. Only the driver reaches it, which no two threads
// have at a time.
unsafe impl Send for EmulatedMemory {}

impl EmulatedMemory {
    /// The address of a range. Panics unless it lies inside.
    fn range(&self, offset: u64, bytes: u64) -> *mut u8 {
        let end = offset.checked_add(bytes);
        let (from, all) = (offset, self.bytes);
        assert!(end.is_some_and(|end| end <= all), "{bytes} bytes from {from} on are not within {all}");
        // SAFETY: the range lies inside of the buffer, as was just seen.
        unsafe { self.start.add(offset as usize) }
    }
}

/// A kernel that is compiled when it is first launched: few of a plan's are.
#[derive(Clone)]
pub struct EmulatedKernel {
    source: Source,
    compiled: Arc<OnceLock<samp_emulator::Kernel>>,
}

/// The end of a buffer lies on a page; so its start lies on a boundary that the size is a multiple of.
const ALIGNMENT: u64 = 256;

impl Driver for Emulated {
    type Memory = EmulatedMemory;
    type Kernel = EmulatedKernel;
    type Graph = EmulatedGraph;

    fn allocate(&self, _what: &'static str, bytes: u64) -> Result<EmulatedMemory, DriverError> {
        self.outside_recording("allocating memory")?;
        let mut owner = Buffer::<u8>::poisoned(bytes.max(1).next_multiple_of(ALIGNMENT) as usize);
        owner.fill(0);
        Ok(EmulatedMemory { start: owner.as_mut_ptr(), bytes, _owner: Arc::new(owner) })
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

fn emulated<'a>(arg: &Arg<'a, EmulatedMemory>) -> samp_emulator::Arg<'a> {
    match *arg {
        Arg::Memory { memory, offset, bytes } => {
            let start = memory.range(offset, bytes);
            // SAFETY: the range lies inside of memory that outlives the launch, and nothing but the kernel reaches it.
            unsafe { samp_emulator::Arg::memory(start, bytes as usize, true) }
        }
        Arg::Null => samp_emulator::Arg::null(),
        Arg::I32(value) => value.into(),
        Arg::F32(value) => value.into(),
    }
}
