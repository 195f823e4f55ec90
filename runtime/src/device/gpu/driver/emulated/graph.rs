//! Launches that the emulated GPU keeps, to make them again with the arguments of the first time.

use samp_kernels::cuda::Grid;

use super::{
    super::Arg,
    memory::{EmulatedKernel, EmulatedMemory},
};

/// Recorded launches; they keep their memory.
pub struct EmulatedGraph(pub(super) Vec<RecordedLaunch>);

pub(super) struct RecordedLaunch {
    pub kernel: EmulatedKernel,
    pub grid: Grid,
    args: Vec<RecordedArg>,
}

/// An argument that owns its memory.
enum RecordedArg {
    Memory { memory: EmulatedMemory, offset: u64, bytes: u64 },
    Null,
    I32(i32),
    F32(f32),
}

impl RecordedLaunch {
    pub fn new(kernel: &EmulatedKernel, grid: Grid, args: &[Arg<'_, EmulatedMemory>]) -> RecordedLaunch {
        let recorded = |arg: &Arg<'_, EmulatedMemory>| match *arg {
            Arg::Memory { memory, offset, bytes } => {
                RecordedArg::Memory { memory: memory.clone(), offset, bytes }
            }
            Arg::Null => RecordedArg::Null,
            Arg::I32(value) => RecordedArg::I32(value),
            Arg::F32(value) => RecordedArg::F32(value),
        };
        RecordedLaunch { kernel: kernel.clone(), grid, args: args.iter().map(recorded).collect() }
    }

    pub fn args(&self) -> Vec<Arg<'_, EmulatedMemory>> {
        self.args.iter().map(RecordedArg::arg).collect()
    }
}

impl RecordedArg {
    fn arg(&self) -> Arg<'_, EmulatedMemory> {
        match *self {
            RecordedArg::Memory { ref memory, offset, bytes } => Arg::Memory { memory, offset, bytes },
            RecordedArg::Null => Arg::Null,
            RecordedArg::I32(value) => Arg::I32(value),
            RecordedArg::F32(value) => Arg::F32(value),
        }
    }
}
