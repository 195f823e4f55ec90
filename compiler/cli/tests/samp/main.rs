//! The `samp` command end to end, on the shipped checkpoint: what its pages promise.

mod calibration;
mod checkpoints;
mod code;
mod commands;
mod conditions;
mod error_codes;
mod export;
mod faults;
mod glossary;
mod gpu;
mod harness;
mod identity;
mod library;
mod limits;
mod logits;
mod outlier_checkpoint;
mod outliers;
mod readme;
mod rebuild;
mod report;
mod routing;
mod shapes;
mod split_members;
mod synthetic_plans;
mod unnamed;
mod validate;
