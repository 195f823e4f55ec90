//! Why a launch failed.

use std::fmt;

use crate::{Parameter, ffi::FaultRecord};

/// What a kernel did that a device would not bear, or that would make its results a matter of luck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Two accesses to a byte without order between them: of threads, of blocks, or of launches that overlap.
    Race,
    /// An access outside the memory that the launch was given, or a write to what may only be read.
    Bounds,
    /// An address that is no multiple of what the access needs.
    Alignment,
    /// No thread can go on.
    Deadlock,
    /// Threads that should do the same do not.
    Divergence,
    /// A barrier or matrix unit used against its rules, or without the fence that they ask for.
    Misuse,
}

impl FaultKind {
    fn of(number: u32) -> FaultKind {
        use FaultKind::*;
        [Race, Bounds, Alignment, Deadlock, Divergence, Misuse][number as usize]
    }
}

/// The first fault of a launch; nothing ran after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which rule was broken.
    pub kind: FaultKind,
    /// The block, as `blockIdx`.
    pub block: [u32; 3],
    /// The thread within the block; of an asynchronous engine's fault, whichever was running.
    pub thread: u32,
    /// File and line of the source, where they are known.
    pub line: Option<(String, u32)>,
    /// What happened, in words.
    pub what: String,
}

impl Fault {
    /// `locate` finds the line of an instruction of the kernel's shared object.
    pub(crate) fn read(record: &FaultRecord, locate: impl FnOnce(u64) -> Option<(String, u32)>) -> Fault {
        let line = match (record.instruction, record.line) {
            (0, 0) => None,
            (0, line) => Some((text(&record.file), line as u32)),
            (instruction, _) => locate(instruction),
        };
        Fault {
            kind: FaultKind::of(record.kind),
            block: record.block,
            thread: record.thread.max(0) as u32,
            line,
            what: text(&record.what),
        }
    }
}

fn text(chars: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.block;
        write!(f, "block ({x}, {y}, {z}), thread {}", self.thread)?;
        if let Some((file, line)) = &self.line {
            write!(f, ", {file}:{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for Fault {}

/// Why a kernel could not be launched, or did not finish.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LaunchError {
    /// The arguments are not the kernel's parameters.
    #[error("{kernel}: its parameters are {expected:?}, the arguments {found:?}")]
    Arguments {
        /// The kernel that was launched.
        kernel: &'static str,
        /// What it takes.
        expected: Vec<Parameter>,
        /// What was given.
        found: Vec<Parameter>,
    },
    /// A block of no threads, or of more than the kernel was compiled for.
    #[error("{kernel}: blocks of 1 to {most} threads, found {found}")]
    Threads {
        /// The kernel that was launched.
        kernel: &'static str,
        /// Its launch bound.
        most: u32,
        /// Threads of the launch's blocks.
        found: u64,
    },
    /// A grid without blocks, or of more than 2³² − 1.
    #[error("{kernel}: a grid of {grid:?} blocks")]
    Grid {
        /// The kernel that was launched.
        kernel: &'static str,
        /// Blocks of the launch.
        grid: [u32; 3],
    },
    /// More shared memory than a block can have.
    #[error("{kernel}: {found} bytes of shared memory, at most {} can be had", crate::MAX_SHARED_BYTES)]
    SharedMemory {
        /// The kernel that was launched.
        kernel: &'static str,
        /// Bytes asked for.
        found: usize,
    },
    /// The kernel ran and failed.
    #[error("{kernel}: {fault}")]
    Fault {
        /// The kernel that was launched.
        kernel: &'static str,
        /// What went wrong, and in which thread.
        fault: Fault,
    },
}

impl LaunchError {
    /// The fault, if the kernel ran.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            LaunchError::Fault { fault, .. } => Some(fault),
            _ => None,
        }
    }
}
