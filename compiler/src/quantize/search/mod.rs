//! The search for precision: calibration data and constraints become formats, rounded weights, and a certificate of what
//! they lose.
//!
//! `SearchTask::measure` measures each weight in each format; [`Measured::search`] solves for the assignment, rounds the
//! weights one after another and audits the composed plan on records held out; where losses turn out not to add up it
//! lowers the loss budget and solves again. [`Audited::certify`] makes sure that no uniform plan of no greater size is better.
//!
//! Never: a loss limit that was not audited. If the constraints cannot be met there is an error and no plan.

mod additivity;
mod audit;
mod baseline_model;
mod cache_losses;
mod certified;
mod device;
mod forecast;
mod journal;
mod loss_budget;
mod loss_limits;
mod measured;
mod profiling;
mod reach;
mod request;
mod rounded_plan;
mod sensitivities;
mod shaping_effects;
mod stages;
mod uniform_candidates;

pub use certified::CertifiedPlan;
pub(crate) use forecast::forecast;
pub use forecast::{CalibrationForecast, TokenUses};
pub use loss_limits::LossLimits;
pub use measured::Measured;
pub(crate) use measured::SearchTask;
pub(crate) use profiling::ProfileTask;
pub(crate) use reach::check_reach;
pub(crate) use request::SearchRequest;
pub use sensitivities::sensitivities;
pub use stages::{Audited, Decided, Quantized, Verdict};
