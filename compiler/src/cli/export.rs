//! `samp export`: a plan's effective weights for other tools.

use std::path::PathBuf;

use super::{Outcome, print};
use crate::{
    emit::Bar,
    export::{ExportOptions, export_hf},
};

/// Write the weights that a plan really computes with as a checkpoint for other tools
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    plan: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Hf)]
    format: Format,
    /// Where to write it
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

/// Forms that a plan can be exported to.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// A Hugging Face checkpoint in f32
    Hf,
}

/// Exports.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let bar = Bar::new(args.quiet);
    match args.format {
        Format::Hf => export_hf(&args.plan, &ExportOptions::new(&args.output, args.force, &bar))?,
    }
    print(&format!("{}\n", args.output.display()))?;
    Ok(Outcome::Clean)
}
