//! `samp-kernels`: what can be computed and what it costs.
//!
//! Number formats ([`format`]), packed layouts ([`layout`]), one folder per operation with its reference and its
//! CPU kernels, the [`registry`] of them all, the [`target`] table, the [`cost`] model and what was [`measured`];
//! what a changed model loses ([`divergence`]), and how small changes add up to it ([`gradient`]).
//!
//! Never: MLIR, a GPU driver, or files.

mod args;
pub mod attention;
pub mod cost;
pub mod cuda;
pub mod divergence;
pub mod elementwise;
pub mod embed;
pub mod encoded;
pub mod format;
pub mod gradient;
pub mod instantiate;
pub mod kernel;
mod kv_cache;
pub mod layout;
pub mod linear;
pub mod measured;
pub mod parallel;
pub mod peak;
pub mod quantize;
pub mod random;
pub mod registry;
pub mod rms_norm;
pub mod rope;
pub mod sample;
pub mod simd;
pub mod target;
pub mod timing;
