//! Launches that the emulated GPU keeps, to make them again with the arguments of the first time.

use samp_kernels::cuda::Grid;

use super::{Arg, EmulatedKernel, EmulatedMemory};

/// Recorded launches; they keep their memory.
pub struct EmulatedGraph(pub(super) Vec<RecordedLaunch>);

pub(super) struct RecordedLaunch {
    pub kernel: EmulatedKernel,
    pub grid: Grid,
    args: Vec<Kept>,
}

/// An argument that owns its memory.
enum Kept {
    Memory { memory: EmulatedMemory, offset: u64, bytes: u64 },
    Null,
    I32(i32),
    F32(f32),
}

impl RecordedLaunch {
    pub fn new(kernel: &EmulatedKernel, grid: Grid, args: &[Arg<'_, EmulatedMemory>]) -> RecordedLaunch {
        let kept = |arg: &Arg<'_, EmulatedMemory>| match *arg {
            Arg::Memory { memory, offset, bytes } => Kept::Memory { memory: memory.clone(), offset, bytes },
            Arg::Null => Kept::Null,
            Arg::I32(value) => Kept::I32(value),
            Arg::F32(value) => Kept::F32(value),
        };
        RecordedLaunch { kernel: kernel.clone(), grid, args: args.iter().map(kept).collect() }
    }

    pub fn args(&self) -> Vec<Arg<'_, EmulatedMemory>> {
        self.args.iter().map(Kept::arg).collect()
    }
}

impl Kept {
    fn arg(&self) -> Arg<'_, EmulatedMemory> {
        match *self {
            Kept::Memory { ref memory, offset, bytes } => Arg::Memory { memory, offset, bytes },
            Kept::Null => Arg::Null,
            Kept::I32(value) => Arg::I32(value),
            Kept::F32(value) => Arg::F32(value),
        }
    }
}
