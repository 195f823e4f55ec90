//! `samp-nvrtc`: CUDA sources to machine code, ahead of time and without a GPU.
//!
//! [`Nvrtc`] finds and loads NVIDIA's run-time compiler (CUDA 13.0) when it is first needed, compiles a
//! [`Source`](samp_kernels::cuda::Source) to a cubin for one [`Arch`], and reads from the log what the code takes
//! ([`Report`]). The same source gives the same bytes, on any number of threads; a [`Cache`] keeps them by content.
//!
//! The nine functions of the library are bound here with libloading rather than through cudarc: the latter looks the
//! library up by fixed names of its own, panics without it, and its safe interface gives PTX only.
//!
//! Never: a GPU driver, launching anything, or a choice of what to compile.

mod api;
mod arch;
mod cache;
mod compile;
mod cubin;
pub mod error_code;
mod find;
mod options;
mod report;
mod trust;

pub use arch::Arch;
pub use cache::Cache;
pub use compile::{Nvrtc, NvrtcError};
pub use cubin::Cubin;
pub use report::Report;
