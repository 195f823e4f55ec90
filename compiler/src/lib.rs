//! `samp-compiler`: a Llama checkpoint becomes a plan, which `samp-runtime` executes.
//!
//! [`compile()`] is the whole way, for a build pipeline as for the command:
//!
//! ```no_run
//! use samp_abi::TargetName;
//! use samp_compiler::{CompileRequest, Precision, lower::recipe};
//! use samp_runtime::Silent;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let precision = Precision::Recipe(recipe::load("uniform:int4_g64")?);
//! let request = CompileRequest::new("models/llama-3-8b", TargetName::H100, precision);
//! let compiled = samp_compiler::compile(&request.into_plan("llama-3-8b.plan"), &Silent)?;
//! println!("{} bytes, {}", compiled.bytes, compiled.plan.digest);
//! # Ok(())
//! # }
//! ```
//!
//! `compiler/examples/compile.rs` hears of the progress as well:
//!
//! ```ignore
#![doc = include_str!("../examples/compile.rs")]
//! ```
//!
//! A [`CompileRequest`] is plain data, `Send + Sync`; [`compile()`] blocks, computes on the rayon pool that calls it, and may
//! run on several threads at a time where the plans differ. Emission keeps tensors of at most
//! [`EmissionRequest::memory_budget`](compile::EmissionRequest::memory_budget) bytes in memory, beside the mapped checkpoint.
//!
//! With [`Precision::Calibrated`] measurements on data decide the formats. The modules, each of which uses those before it:
//! [`import`] reads a checkpoint; [`lower`] runs the passes and gives the specification of a plan; [`certificate`] is what
//! is known of a plan's precision; [`emit`] writes plans; [`quantize`] measures, searches and rounds; [`mod@compile`] runs
//! them as stages. [`mod@eval`] and [`export`] take finished plans; [`synthesis`] makes random checkpoints; [`statistics`] is what
//! records say of a mean.
//!
//! Never: a decision about precision, kernels or memory outside a pass; a number of the hardware; a printed line.

// What another crate cannot name is not `pub`.
#![warn(unreachable_pub)]

pub mod certificate;
mod checkpoint_files;
pub mod compile;
pub mod emit;
pub mod error_code;
pub mod eval;
pub mod export;
pub mod import;
pub mod jsonl;
pub mod lower;
pub mod output_file;
pub mod quantize;
pub mod schema;
pub mod statistics;
pub mod synthesis;
pub mod whole_file;
pub mod wrong_path;

pub use compile::{CompileError, CompileRequest, Compiled, Precision, compile};
