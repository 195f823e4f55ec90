//! Every CUDA kernel in the emulator against its plain-loop reference, and edited kernels that must be caught.

mod attention;
mod checked;
mod harness;
mod mutations;
mod norms;
mod probes;
mod removals;
mod rope;
mod rows;
#[path = "../support/run_case.rs"]
mod run_case;
mod sample;
mod subjects;
