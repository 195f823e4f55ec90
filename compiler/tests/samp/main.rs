//! The `samp` command end to end, on the shipped checkpoint: what the README promises.

mod apart;
mod calibration;
mod checkpoints;
mod code;
mod commands;
mod conditions;
mod export;
mod faults;
mod gpu;
mod limits;
mod logits;
mod outliers;
mod rebuild;
mod report;
mod routing;
mod shapes;
mod twin;
mod validate;
mod workbench;
