//! `samp-server`: serves compiled plans over OpenAI's API.
//!
//! A request is parsed and turned into tokens on a pool of threads ([`front`], [`api`]), waits in a bounded queue, and joins
//! the sequences of the engine's thread ([`engine`]), whose steps a pure scheduler plans ([`schedule`]). Tokens go back as
//! they come ([`http`]); everything is counted ([`observe`]). Beside it a judge scores answers against a baseline and rolls
//! the plan back where they have come to diverge ([`judge`]), and a verifier looks whether the plan still computes what it did
//! ([`verify`]).
//!
//! [`bench`] is the other side: clients that put load on any such server.
//!
//! A request's text does not depend on what else is served: alone, in a batch, from a warm cache or after it was preempted it
//! is the same, byte for byte on the CPU.
//!
//! Never: MLIR or LLVM, the compiler, or a decision that the plan has made.

pub mod api;
mod args;
pub mod bench;
mod client;
mod clock;
pub mod constrain;
pub mod engine;
mod error;
pub mod error_code;
pub mod front;
pub mod http;
pub mod judge;
mod load;
pub mod observe;
pub mod schedule;
mod server;
pub mod tools;
pub mod verify;

pub use args::{Args, Options};
pub use error::ServeError;
pub use server::{Server, quantization_level};
