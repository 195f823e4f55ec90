//! The `samp` command end to end, on the shipped checkpoint: what the README promises.

mod calibration;
mod checkpoints;
mod code;
mod commands;
mod conditions;
mod error_codes;
mod export;
mod faults;
mod gpu;
mod harness;
mod limits;
mod logits;
mod outlier_checkpoint;
mod outliers;
mod rebuild;
mod report;
mod routing;
mod shapes;
mod split_members;
mod validate;
