//! The judge: answers of the plan are scored against a baseline of the same model while it serves, and a plan that has come
//! to diverge by more than its limit is rolled back.
//!
//! Of some answers the plan's logits are kept at some positions ([`ShadowSample`]); the judge's thread has the baseline
//! compute its own there, and takes the divergence over the whole vocabulary ([`divergence`]); a teacher elsewhere names the
//! likeliest tokens, and all others count as one ([`coarse_divergence`]). A detector for each stratum
//! ([`Detector`]) bounds false alarms whatever the distribution, a confidence sequence ([`UpperBound`]) lets a canary go on.
//! [`JudgeState`] puts these together without clock or engine.

mod bound;
mod coarse;
mod detector;
mod divergence;
mod reference;
mod settings;
mod shadow;
mod state;
mod state_file;
#[cfg(test)]
mod testing;
mod thread;

pub use self::{
    bound::UpperBound,
    coarse::coarse_divergence,
    detector::Detector,
    divergence::divergence,
    reference::{Reference, Teacher},
    settings::JudgeSettings,
    shadow::{Served, ShadowSample},
    state::{Cause, JudgeState, Stage, Stratum},
    thread::{Judge, JudgeParts},
};
