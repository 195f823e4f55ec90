//! `samp-compiler`: a checkpoint becomes a plan. Import, the pass pipeline, quantization, emission.
//!
//! Never: a decision about precision, kernels or memory outside a pass; a number of the hardware.

pub mod certificate;
pub mod compile;
pub mod emit;
pub mod error_code;
pub mod eval;
pub mod export;
pub mod import;
pub mod jsonl;
pub mod lower;
pub mod quantize;
pub mod schema;
