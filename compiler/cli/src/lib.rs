//! `samp-cli`: the `samp` command. One file a subcommand in [`commands`]; [`report`] makes the report page.
//!
//! Never: a step of compiling that a build pipeline could not call in `samp-compiler`.

pub mod bar;
pub mod commands;
pub mod report;
