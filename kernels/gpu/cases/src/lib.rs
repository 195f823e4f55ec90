//! Cases of GPU kernels: a launch, its data, and what must come of it.
//!
//! Whoever can launch kernels runs them, the emulator as well as a GPU, so that both are held to the same. What a kernel
//! writes is NaN before the launch; results are compared with the plain-loop references.

mod activations;
pub mod attention;
mod case;
mod check;
pub mod linear;
pub mod norms;
mod paged_batch;
mod patterns;
pub mod probes;
mod random_values;
pub mod rope;
pub mod rows;
pub mod sample;

pub use case::{Arg, CaseMismatch, KernelCase};
pub use check::{Check, Near};
pub use paged_batch::{Batch, Heads};
pub use random_values::RandomValues;

pub(crate) use case::source;

/// Every case of every kernel, grouped as they share data: each group is made when it is wanted.
pub fn kernels() -> Vec<fn() -> Vec<KernelCase>> {
    vec![
        linear::gemv,
        linear::mma,
        linear::wgmma,
        linear::outputs,
        linear::bf16,
        linear::fp8,
        linear::tiles,
        attention::decode,
        attention::prefill,
        rope::cases,
        norms::cases,
        rows::cases,
        sample::few,
        sample::many,
        sample::large,
    ]
}
