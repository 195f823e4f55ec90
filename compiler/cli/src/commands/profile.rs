//! `samp profile`: profiles as files.

use std::path::PathBuf;

use crate::{
    output::{Outcome, in_line, print, print_json},
    written::Written,
};
use samp_compiler::{certificate::Profile, output_file::OutputFile};

/// Work with what `samp measure` wrote
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Put the parts of one measurement together
    Merge {
        /// Profiles of the same model, data and flags
        #[arg(required = true)]
        parts: Vec<PathBuf>,
        /// The profile to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Print what was written as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Command::Merge { parts, output, json } = &args.command;
    OutputFile::Profile.check(output)?;
    let parts = parts.iter().map(|part| Profile::read(part)).collect::<Result<Vec<_>, _>>()?;
    Profile::merge(parts)?.write(output)?;
    if *json {
        print_json(&Written::new(output, &[]))?;
    } else {
        print(&format!("{}\n", in_line(output)))?;
    }
    Ok(Outcome::Clean)
}
