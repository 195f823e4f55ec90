//! What a calibrated compile is asked for, and the way from there to a routed plan.

use std::{fs, path::PathBuf, str::FromStr};

use anyhow::Context;
use samp_passes::{Demands, Objective};

use super::Args;
use crate::{
    calibrate::{
        Profile,
        data::{CalibrationData, Fingerprint},
    },
    cli::calibration::records,
    compile::{CompileOptions, Source},
    route::{RouteOptions, Routed, route},
};

/// What the formats have to keep
#[derive(clap::Args)]
#[command(next_help_heading = "Demands")]
pub struct DemandArgs {
    /// Most bits per weight over the decoder's linears, scales counted
    #[arg(long, value_name = "BITS", requires = "calib")]
    pub max_bits: Option<f64>,
    /// Most growth of perplexity, overall and in every stratum, with 95 % confidence; such as 0.5%
    #[arg(long, value_name = "PERCENT", requires = "calib")]
    pub max_loss: Option<Percent>,
    /// Most predicted time of a step, such as 12ms@1 for one token; may be given several times
    #[arg(long, value_name = "TIME@TOKENS", requires = "calib")]
    pub max_latency: Vec<Latency>,
    /// What to have least of within the limits: quality, memory or latency
    #[arg(long, value_name = "WHAT", requires = "calib", default_value = "quality")]
    pub optimize_for: Goal,
    /// First audit so many random assignments, and say how their losses correlate with those predicted
    #[arg(long, value_name = "N", requires = "calib", default_value_t = 0)]
    pub trials: usize,
    /// What `samp measure` found; only weights that it lacks are measured
    #[arg(long, value_name = "FILE", requires = "calib")]
    pub profile: Option<PathBuf>,
}

/// A part, written as a percentage.
#[derive(Clone, Copy, Debug)]
pub struct Percent(pub f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Percent, String> {
        let number = text.trim_end_matches('%').trim().parse::<f64>().ok();
        let number = number.filter(|n| text.ends_with('%') && n.is_finite() && *n > 0.0);
        number.map(|n| Percent(n / 100.0)).ok_or_else(|| "expected a percentage above 0, such as 0.5%".into())
    }
}

/// A time for a step of so many tokens.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    nanos: f64,
    tokens: u64,
}

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Latency, String> {
        let parse = || {
            let (time, tokens) = text.split_once('@')?;
            let unit = time.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            let scale =
                [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)].into_iter().find(|u| u.0 == unit)?.1;
            let number: f64 = time.strip_suffix(unit)?.parse().ok()?;
            let tokens = tokens.parse().ok().filter(|&t| t > 0)?;
            (number > 0.0).then_some(Latency { nanos: number * scale, tokens })
        };
        parse().ok_or_else(|| "expected a time and a number of tokens, such as 12ms@1 or 800us@16".into())
    }
}

/// What `--optimize-for` says.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Goal {
    /// Least loss.
    Quality,
    /// Fewest weight bytes.
    Memory,
    /// Least predicted time of a decode step.
    Latency,
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Goal::Quality => "quality",
            Goal::Memory => "memory",
            Goal::Latency => "latency",
        })
    }
}

/// Decides the plan by the data.
pub fn routed(
    args: &Args,
    source: &Source,
    options: &CompileOptions,
    data: CalibrationData,
) -> anyhow::Result<Routed> {
    let work = work_folder(args).context("expected -o PLAN")?;
    fs::create_dir_all(&work).with_context(|| format!("making {}", work.display()))?;
    let quiet = args.quiet;
    let say = |text: &str| {
        if !quiet {
            eprintln!("{text}");
        }
    };
    let (calibration, held_out) = (records(data.calibration), records(data.held_out));
    let asked = route_options(args, data.fingerprint)?;
    route(source, options, (&calibration, &held_out), &asked, &work, &say)
}

/// The folder that holds what survives an interruption of a calibrated compile.
pub fn work_folder(args: &Args) -> Option<PathBuf> {
    let mut work = args.output.as_ref()?.clone().into_os_string();
    work.push(".calibration.partial");
    Some(work.into())
}

fn route_options(args: &Args, calibration: Fingerprint) -> anyhow::Result<RouteOptions> {
    let own = &args.demands;
    Ok(RouteOptions {
        demands: Demands {
            objective: match own.optimize_for {
                Goal::Quality => Objective::Quality,
                Goal::Memory => Objective::Bytes,
                Goal::Latency => Objective::Latency,
            },
            weight_bytes: args.budget.map(|bytes| bytes.0 as f64),
            bits_per_weight: own.max_bits,
            latency: own.max_latency.iter().map(|l| (l.tokens, l.nanos)).collect(),
            ..Demands::default()
        },
        max_loss: own.max_loss.map(|p| p.0),
        measure: args.measure.options(),
        round_tokens: args.measure.round_tokens(),
        profile: own.profile.as_deref().map(Profile::read).transpose()?,
        seed: args.data.seed,
        calibration,
        trials: own.trials,
    })
}
