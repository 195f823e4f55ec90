//! `samp measure`: what each format costs each weight, as a file of its own.

use std::{ops::Range, path::PathBuf, str::FromStr};

use crate::{
    calibration_args::{DataArgs, MeasureArgs},
    failure::Failure,
    interruption::{self, Work},
    output::{Outcome, in_line, print, print_json, say},
    progress_bar::Bar,
    written::Written,
};
use samp_compiler::{
    compile::{CompileError, MeasureRequest, MeasureTask},
    output_file::{OutputFile, refuse_inside},
};

/// Measure what each format costs each weight; compiles take the result with --profile
///
/// Several machines can share the work: each measures its own --layers, and `samp profile merge` puts the parts together.
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint directory
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    measure: MeasureArgs,
    /// Measure these layers alone, such as 0..20, the last one not included [default: all]
    ///
    /// The embedding goes with the first layer, the head with the last.
    #[arg(long, value_name = "FROM..TO")]
    layers: Option<Layers>,
    /// Positions of one sequence, as they will be compiled for [default: what the model was trained for]
    #[arg(long, value_name = "N")]
    max_model_len: Option<u64>,
    /// The profile to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Refuse what there are warnings of, before anything is measured
    #[arg(long)]
    strict: bool,
    /// Say nothing of progress
    #[arg(long)]
    quiet: bool,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

/// A range of layers.
#[derive(Clone, Debug)]
struct Layers(Range<u64>);

impl FromStr for Layers {
    type Err = String;

    fn from_str(text: &str) -> Result<Layers, String> {
        let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
        let range = range.filter(|range| !range.is_empty());
        range.map(Layers).ok_or_else(|| "expected two numbers, the first the lesser, such as 0..20".into())
    }
}

/// Measures and writes the profile.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    OutputFile::Profile.check(&args.output)?;
    refuse_inside(&args.output, &args.model)?;
    let data = args.data.request().ok_or(CompileError::NoData)?;
    let quality = args.measure.quality(data.seed, None)?;
    let mut work = args.output.clone().into_os_string();
    work.push(".partial");
    let work = PathBuf::from(work);
    let unfinished = {
        let work = work.clone();
        move || -> Vec<PathBuf> { work.exists().then(|| work.clone()).into_iter().collect() }
    };
    interruption::explain(Work {
        unfinished: Box::new(unfinished.clone()),
        finished: vec![],
        wanted: 1,
        json: args.json,
    })?;
    let task = MeasureTask::open(MeasureRequest {
        model: args.model.clone(),
        data,
        measure: args.measure.options(quality.rounding),
        quality,
        max_context: args.max_model_len,
        layers: args.layers.as_ref().map(|layers| layers.0.clone()),
        work,
        strict: args.strict,
    })?;
    let warnings: Vec<_> = task.warnings().cloned().collect();
    warnings.iter().for_each(say);
    task.run(&args.output, &Bar::of_stages(args.quiet))
        .map_err(|error| interruption::with_what_is_kept(Failure::of(&error.into()), &unfinished()))?;
    interruption::over();
    if args.json {
        print_json(&Written::new(&args.output, &warnings))?;
    } else {
        print(&format!("{}\n", in_line(&args.output)))?;
    }
    Ok(Outcome::Clean)
}
