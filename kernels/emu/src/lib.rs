//! `samp-emulator`: runs the CUDA kernels of `samp-kernels` on the CPU, so that they can be tested without a GPU.
//!
//! A kernel's source is compiled by the host's C++ compiler ([`Emulator`]), loaded, and run block by block, one fiber for
//! each thread, by a scheduler whose choices are random yet the same for the same seed. Shared memory starts poisoned;
//! asynchronous copies and matrix products take effect as early or as late as they may. In a checked build every load and
//! store is checked too: for bounds, and on shared memory for races.
//!
//! What an emulated kernel computes is what the device would, but for rounding inside matrix units and approximate
//! functions. It says nothing of speed.
//!
//! Never: a GPU driver, MLIR.

mod arg;
mod buffer;
mod compile;
mod fault;
mod ffi;
mod launch;
mod trial;
mod unit;

pub use arg::{Arg, Parameter};
pub use buffer::Buffer;
pub use compile::{Build, CompileError, Emulator};
pub use fault::{Fault, FaultKind, LaunchError};
pub use launch::{AsyncMode, Kernel, Launch, Options, Stats};
pub use unit::Edit;

/// Most shared memory that a block can have on the GPUs that samp targets, in bytes.
pub const MAX_SHARED_BYTES: usize = 227 << 10;
/// Most threads that a block can have.
pub const MAX_THREADS: u32 = 1024;
