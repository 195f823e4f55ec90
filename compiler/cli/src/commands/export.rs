//! `samp export`: a plan's effective weights for other tools.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    identity::IdentityArgs,
    output::{Outcome, in_line, print, print_json},
    progress_bar::Bar,
};
use samp_compiler::{
    emit::EmitError,
    export::{ExportOptions, Exported, export_plan},
};

/// Write the weights that a plan really computes with as a checkpoint for other tools
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    plan: PathBuf,
    #[command(flatten)]
    identity: IdentityArgs,
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
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

/// Forms that a plan can be exported to.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// A Hugging Face checkpoint in f32
    Hf,
}

#[derive(Serialize, schemars::JsonSchema)]
pub struct Report<'a> {
    folder: &'a PathBuf,
    #[serde(flatten)]
    exported: Exported,
}

/// Exports the plan and says where to.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let plan = samp_runtime::open(&args.plan).map_err(EmitError::from)?;
    args.identity.require(&plan)?;
    let bar = Bar::of_bytes(args.quiet);
    let exported = match args.format {
        Format::Hf => export_plan(&plan, &ExportOptions::new(&args.output, args.force, &bar))?,
    };
    if args.json {
        print_json(&Report { folder: &args.output, exported })?;
    } else {
        print(&format!("{}\n", in_line(&args.output)))?;
    }
    Ok(Outcome::Clean)
}
