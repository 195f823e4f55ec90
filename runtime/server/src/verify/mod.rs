//! Whether the plan still computes what it computed when it was loaded.
//!
//! Of some answers the log-probabilities that tokens were served with are computed again by the same engine, as a prompt
//! ([`LogprobRecord`]): decoding and reading a prompt take other kernels, and memory may fail. On the CPU they must agree bit
//! for bit. Now and then the golden probe is run again, and looks are taken at how much of their static scales keys and values
//! use ([`ScaleUse`]). A plan that fails is not ready any more, or rolled back where there is a baseline.

mod queue;
mod record;
mod scales;
mod thread;

pub use self::{
    queue::AnsweredQueue,
    record::{Answered, LogprobRecord},
    scales::ScaleUse,
    thread::{Verifier, VerifierParts, VerifySettings},
};
