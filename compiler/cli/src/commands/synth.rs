//! `samp synth`: a random checkpoint of a model's shape.

use std::path::{Path, PathBuf};

use clap::value_parser;
use samp_compiler::{
    lower::size::Bytes,
    synthesis::{CheckpointShape, MAX_LAYERS, StoredType, SynthesisRequest, Synthesized, synthesize},
};
use serde::Serialize;

use crate::{
    named_values::one_of,
    output::{Outcome, in_line, print, print_json},
    progress_bar::Bar,
};

/// Make a random checkpoint of a model's shape, to measure compiles and plans on without the model
///
/// Its weights are drawn as they are before training. Speed, size and memory are the model's; texts and losses mean nothing.
#[derive(clap::Args)]
pub struct Args {
    /// Whose shape
    #[arg(long, value_name = "SHAPE", value_parser = one_of::<CheckpointShape>(CheckpointShape::ALL.map(CheckpointShape::name)))]
    shape: CheckpointShape,
    /// The folder to make
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// How many layers [default: the model's own]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=MAX_LAYERS))]
    layers: Option<u64>,
    /// What the weights are drawn from; the same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// What the weights are stored in
    #[arg(long, value_name = "DTYPE", default_value = "bf16", value_parser = one_of::<StoredType>(StoredType::ALL.map(StoredType::name)))]
    dtype: StoredType,
    /// Replace a synthetic checkpoint that is already there
    #[arg(long)]
    force: bool,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
pub struct Report<'a> {
    folder: &'a Path,
    shape: &'a str,
    seed: u64,
    dtype: StoredType,
    #[serde(flatten)]
    made: Synthesized,
}

/// Makes the checkpoint and says where it lies.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let bar = Bar::of_bytes(args.quiet);
    let made = synthesize(&SynthesisRequest {
        layers: args.layers,
        seed: args.seed,
        dtype: args.dtype,
        force: args.force,
        ..SynthesisRequest::new(args.shape, &args.out, &bar)
    })?;
    if args.json {
        let (folder, shape) = (args.out.as_path(), args.shape.name());
        print_json(&Report { folder, shape, seed: args.seed, dtype: args.dtype, made })?;
    } else {
        let (folder, millions) = (in_line(&args.out), made.weights as f64 / 1e6);
        print(&format!("{folder}: {millions:.1} M weights in {}, {}\n", args.dtype, Bytes(made.bytes)))?;
    }
    Ok(Outcome::Clean)
}
