//! `samp-cli`: the `samp` command. One file a subcommand in [`commands`]; [`report`] makes the report page.
//!
//! Never: a step of compiling that a build pipeline could not call in `samp-compiler`.

// Results and what is said beside them go through `output`, which stands a reader that has left.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod calibration_args;
pub mod commands;
mod device_args;
mod error_code;
mod error_table;
mod estimate;
mod failure;
mod identity;
mod interruption;
mod logits_file;
pub mod memory;
mod named_values;
mod numbers;
mod output;
mod plan_certificate;
mod plan_model;
mod progress_bar;
mod progress_lines;
pub mod report;
mod signals;
mod table;
mod version;
mod written;

pub use commands::output_schemas;
pub use error_table::{error_table, errors_page};
