//! `samp-static-model`: how fast CUDA kernels can be at most, by their machine code, without a GPU.
//!
//! A kernel is disassembled ([`disassemble`], [`Code`]); its main loop is found and followed on its usual way. What is seen
//! there is counted, the issue slots of each [`Pipe`] and the wavefronts of shared memory, and then played
//! ([`clocks_per_round`]): as many warps as fit a multiprocessor ([`Block`]) issue in order, with the stall counts and
//! scoreboards that the assembler encoded. [`LinearModel`] makes weights a clock of that, [`AttentionModel`] bytes of the cache.
//!
//! The model knows neither DRAM nor contention nor conflicts of banks: it is optimistic, by a quarter where kernels of others
//! are known to be measured (docs/gpu.md). What it is good for is comparing: a kernel before and after a change, two kernels
//! for one shape, a kernel's need of each pipe.
//!
//! Never: a GPU driver, launching anything, or a choice of kernels.

mod attention;
mod dependent_launch;
mod disassemble;
mod error;
mod flow;
mod linear;
mod occupancy;
mod pipe;
mod profile;
mod sass;
mod simulate;

pub use attention::AttentionModel;
pub use dependent_launch::{EarlyLoad, loads_before_wait};
pub use disassemble::disassemble;
pub use error::ModelError;
pub use linear::LinearModel;
pub use occupancy::Block;
pub use pipe::{Pipe, Timings};
pub use profile::Profile;
pub use sass::{Code, Control, Instruction};
pub use simulate::{Residency, clocks_per_round};
