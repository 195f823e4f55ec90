//! `samp bench serve`: load for any server of OpenAI's API, and what its clients saw.
//!
//! Times are vLLM's (time to first token, time per output token, inter-token latency, end-to-end latency) with two
//! differences: they begin when a request was to be sent, so that a client that falls behind does not flatter the server; and
//! tokens are those that the server counts, not events.

mod args;
mod arrivals;
mod html;
mod report;
mod request;
mod run;

pub use self::{args::BenchArgs, run::run};
