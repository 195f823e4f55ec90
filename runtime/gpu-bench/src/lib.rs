//! `samp-gpu`: shows on a GPU that the kernels compute what they must, and measures how fast.
//!
//! [`suite`] runs the cases of [`samp_kernel_cases`], [`bench`] measures kernels, and whole steps on the runtime's own
//! device, of models whose weights are made on the GPU. All of it asks a [`Driver`](samp_runtime::device::gpu::Driver), so
//! that everything but time shows on the emulated GPU too. Machine code comes from a folder that [`code::prepare`] fills
//! beforehand: the binary and the folder are all that a GPU machine needs. [`plan`] runs a small model's plan in the runtime's engine, beside a reference.
//!
//! Never: MLIR or LLVM, a compiler on the GPU machine, or files of weights but for such a plan.

pub mod bench;
pub mod clock;
pub mod code;
mod error;
mod gpu;
pub mod kernel_set;
pub mod memory;
pub mod model_shape;
pub mod outcome;
mod pattern;
pub mod plan;
pub mod recipe_formats;
pub mod suite;
pub mod supervise;
pub mod timing;

pub use error::GpuError;
pub use gpu::{Gpu, Ready};
pub use pattern::Pattern;
