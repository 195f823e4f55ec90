//! What a device of kernels asks of a GPU, or of what stands for one.

#[cfg(feature = "emulate")]
pub(super) mod emulated;
#[cfg(feature = "cuda")]
pub mod nvidia;

use samp_kernels::cuda::{Grid, Source};

use crate::error_code;

/// Why a GPU did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// There is no driver or no GPU.
    #[error("there is no GPU to run on: {reason}; {remedy}")]
    Absent {
        /// What was looked for and what the system answered.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Memory ran out.
    #[error("the {what} needs {bytes} bytes of GPU memory, of which {free} are free; {remedy}")]
    Memory {
        /// What it was for.
        what: &'static str,
        /// Bytes that were asked for.
        bytes: u64,
        /// How much there is.
        free: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// A plan does not fit beside what else has the GPU's memory.
    #[error(
        "the plan with a KV cache of {positions} positions needs {bytes} bytes of GPU memory, of which it may \
         use {usable} and {free} are free; compile with smaller formats or limits, ask for fewer positions, free \
         the GPU of other work, or raise the part of its memory that may be used"
    )]
    Room {
        /// How much it needs.
        bytes: u64,
        /// Positions of the cache.
        positions: u64,
        /// The part of the GPU's memory that may be used, less what others have.
        usable: u64,
        /// How much is free.
        free: u64,
    },
    /// The code does not load or run.
    #[error("kernel {kernel}: {reason}")]
    Kernel {
        /// Its name: that of its row in the registry.
        kernel: &'static str,
        /// What the driver answered.
        reason: String,
    },
    /// Any other refusal, which leaves nothing to go on with.
    #[error("the GPU failed while {during}: {reason}; start again, and see the system's log if it stays so")]
    Failed {
        /// What was being done.
        during: &'static str,
        /// What the driver answered.
        reason: String,
    },
}

impl DriverError {
    /// What to do, which is the last part of the error's text; `None` where it has no such part.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            DriverError::Absent { remedy, .. } | DriverError::Memory { remedy, .. } => Some(remedy),
            _ => None,
        }
    }

    /// Stable code for people, `E14` and two digits.
    pub fn code(&self) -> &'static str {
        match self {
            DriverError::Absent { .. } => error_code::NO_GPU,
            DriverError::Memory { .. } | DriverError::Room { .. } => error_code::GPU_MEMORY,
            DriverError::Kernel { .. } => error_code::GPU_KERNEL,
            DriverError::Failed { .. } => error_code::GPU_FAILED,
        }
    }
}

/// An argument of a launch. A kernel touches only memory that is among its arguments.
#[derive(Debug)]
pub enum Arg<'a, M> {
    /// So many bytes of memory from an offset on.
    Memory {
        /// The allocation that it lies in.
        memory: &'a M,
        /// The first byte.
        offset: u64,
        /// Length of the range, which the kernel does not leave.
        bytes: u64,
    },
    /// No memory, where the kernel does without.
    Null,
    /// An integer of 32 bits.
    I32(i32),
    /// A float of 32 bits.
    F32(f32),
}

impl<M> Arg<'_, M> {
    /// Memory without so many of its first bytes.
    pub fn behind(self, skipped: u64) -> Self {
        match self {
            Arg::Memory { memory, offset, bytes } => {
                Arg::Memory { memory, offset: offset + skipped, bytes: bytes - skipped }
            }
            other => other,
        }
    }
}

impl<M> Clone for Arg<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

// Derived, it would ask that memory itself can be copied.
impl<M> Copy for Arg<'_, M> {}

/// A GPU with one stream of work: what is asked for is done in order. Only [`Driver::download`] and
/// [`Driver::synchronize`] wait for it.
pub trait Driver {
    /// Memory of the GPU; given back when dropped.
    type Memory: Send;
    /// Code that can be launched.
    type Kernel: Send;
    /// Recorded launches, which are replayed as one.
    type Graph: Send;

    /// Zeroed memory, aligned to 256 bytes.
    fn allocate(&self, what: &'static str, bytes: u64) -> Result<Self::Memory, DriverError>;

    /// Writes `bytes` from an offset on. They may be reused when this returns.
    fn upload(&self, to: &Self::Memory, offset: u64, bytes: &[u8]) -> Result<(), DriverError>;

    /// Reads from an offset on, after all work before it is done.
    fn download(&self, from: &Self::Memory, offset: u64, bytes: &mut [u8]) -> Result<(), DriverError>;

    /// Free memory in bytes.
    fn free_memory(&self) -> Result<u64, DriverError>;

    /// Readies a kernel: `cubin` is its source's machine code for this GPU.
    fn load(&self, source: &Source, cubin: &[u8]) -> Result<Self::Kernel, DriverError>;

    /// Launches a kernel.
    fn launch(
        &self,
        kernel: &Self::Kernel,
        grid: Grid,
        args: &[Arg<'_, Self::Memory>],
    ) -> Result<(), DriverError>;

    /// Records what `work` launches, without running it. It must ask for nothing else.
    fn record(&self, work: &mut dyn FnMut() -> Result<(), DriverError>) -> Result<Self::Graph, DriverError>;

    /// Launches all that was recorded.
    fn replay(&self, graph: &Self::Graph) -> Result<(), DriverError>;

    /// Waits until all work is done.
    fn synchronize(&self) -> Result<(), DriverError>;
}

/// For a device that does not have the GPU to itself; both are then of one thread.
impl<D: Driver> Driver for &D {
    type Memory = D::Memory;
    type Kernel = D::Kernel;
    type Graph = D::Graph;

    fn allocate(&self, what: &'static str, bytes: u64) -> Result<D::Memory, DriverError> {
        (**self).allocate(what, bytes)
    }

    fn upload(&self, to: &D::Memory, offset: u64, bytes: &[u8]) -> Result<(), DriverError> {
        (**self).upload(to, offset, bytes)
    }

    fn download(&self, from: &D::Memory, offset: u64, bytes: &mut [u8]) -> Result<(), DriverError> {
        (**self).download(from, offset, bytes)
    }

    fn free_memory(&self) -> Result<u64, DriverError> {
        (**self).free_memory()
    }

    fn load(&self, source: &Source, cubin: &[u8]) -> Result<D::Kernel, DriverError> {
        (**self).load(source, cubin)
    }

    fn launch(&self, kernel: &D::Kernel, grid: Grid, args: &[Arg<'_, D::Memory>]) -> Result<(), DriverError> {
        (**self).launch(kernel, grid, args)
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<(), DriverError>) -> Result<D::Graph, DriverError> {
        (**self).record(work)
    }

    fn replay(&self, graph: &D::Graph) -> Result<(), DriverError> {
        (**self).replay(graph)
    }

    fn synchronize(&self) -> Result<(), DriverError> {
        (**self).synchronize()
    }
}
