//! `samp-emulator`: runs the CUDA kernels of `samp-kernels` on the CPU, so that they can be tested without a GPU.
//!
//! A kernel's source is compiled by the host's C++ compiler ([`Emulator`]), loaded, and run block by block, one fiber for
//! each thread, by a scheduler whose choices are random yet the same for the same seed. Shared memory starts poisoned;
//! asynchronous copies and matrix products take effect as early or as late as they may. In a checked build every load and
//! store is checked too.
//!
//! What an emulated kernel computes is what the device would, but for rounding inside matrix units and approximate
//! functions. It says nothing of speed.
//!
//! # What a checked build finds
//!
//! - Bounds: accesses beyond shared memory or a launch's arguments, and stores to what may only be read.
//! - Races within a block: accesses to shared or global memory that no barrier or wait orders.
//! - Races between blocks: a load or store of what another block has stored, unless it was handed on. The storing block
//!   does so when a thread that knows of the store calls `fence_device` and then adds to a counter; the other block takes it
//!   when a thread adds to the same counter and then calls `fence_device`, and a barrier tells the rest. A fence before
//!   the barrier that tells of others' stores does not hand those on.
//! - Races between launches, of kernels that call `grid_wait`: whatever a thread does to memory before its own call, but
//!   for reading [`Arg::constant`].
//! - Barriers of copies: use of one that its initialisation is not ordered before, and, in plain builds too, a bulk copy
//!   that tells one whose initialising thread has not called `barrier_init_fence` since.
//! - Matrix units, in plain builds too: a `wgmma` without `wgmma_fence` since its warpgroup's last commit or wait.
//!
//! It sees only what happens in the order that the blocks run in, one after another. It does not see registers of a
//! product that are written between the fence and the product, stores over what another block has only read, plain
//! accesses beside atomic ones, counters that are waited for by loads (such a kernel would not end), nor the proxy fence
//! that a bulk copy from global memory needs after stores there.
//!
//! Never: a GPU driver, MLIR.

mod arg;
mod buffer;
mod compile;
mod error;
mod fault;
mod ffi;
mod launch;
mod options;
mod stats;
mod unit;

pub use arg::{Arg, Parameter};
pub use buffer::Buffer;
pub use compile::Emulator;
pub use error::CompileError;
pub use fault::{Fault, FaultKind, LaunchError};
pub use launch::{Kernel, Launch};
pub use options::{AsyncMode, Build, Options};
pub use stats::Stats;
pub use unit::Edit;

/// Most shared memory that a block can have on the GPUs that samp targets, in bytes.
pub const MAX_SHARED_BYTES: usize = samp_kernels::target::MOST_SHARED_BYTES as usize;
/// Most threads that a block can have.
pub const MAX_THREADS: u32 = 1024;
