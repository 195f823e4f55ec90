//! `samp bench`: how fast a plan runs here, beside what the machine can do.

mod render;

use std::{num::NonZeroUsize, path::PathBuf};

use samp_runtime::bench::{BenchOptions, bench};

use self::render::render;
use crate::{
    device_args::{DeviceArgs, threads},
    identity::IdentityArgs,
    output::{Outcome, print, print_json},
    progress_bar::Bar,
};

/// Measure how fast a plan runs on this machine, beside what the machine can do at most
///
/// Reads a prompt, generates, and decodes several sequences together, on random tokens. Before each the same threads measure how
/// fast memory is read and how fast the processor computes: the shares of these stand where figures depend on the machine
/// and on what else it does.
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    plan: PathBuf,
    #[command(flatten)]
    identity: IdentityArgs,
    /// Tokens of the prompt [default: 512, or as many as the plan's context has]
    #[arg(long, value_name = "N", value_parser = above_zero)]
    prompt: Option<NonZeroUsize>,
    /// Tokens to generate, and to decode of each sequence [default: 128, or as many as the plan's context has]
    #[arg(long, value_name = "N", value_parser = above_zero)]
    generate: Option<NonZeroUsize>,
    /// How many sequences to decode together, one number or several [default: those of 1,4,16 that the plan takes]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = above_zero)]
    sequences: Option<Vec<NonZeroUsize>>,
    /// How often to measure everything; medians are shown, with the least and the largest
    #[arg(long, value_name = "N", default_value = "3", value_parser = above_zero)]
    repeat: NonZeroUsize,
    #[command(flatten)]
    device: DeviceArgs,
    /// Threads of the CPU to compute with, at most 1024 [default: one for each core]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(super) threads: Option<usize>,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let plan = samp_runtime::open(&args.plan)?;
    args.identity.require(&plan)?;
    let options = BenchOptions {
        prompt: args.prompt,
        generate: args.generate,
        sequences: args.sequences.clone(),
        repeats: args.repeat,
        device: args.device.kind(),
        gpu_memory_utilization: args.device.gpu_memory_utilization(),
    };
    let report = bench(plan, &options, &Bar::of_stages(args.quiet))?;
    if args.json {
        print_json(&report)?;
    } else {
        print(&render(&report))?;
    }
    Ok(Outcome::Clean)
}

fn above_zero(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("expected a whole number above 0, such as 16, found {text}"))
}
