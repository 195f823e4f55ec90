//! The flags of a calibrated compile, and the way from them to a routed plan.

use std::{fs, path::PathBuf, str::FromStr};

use anyhow::{Context, bail};
use samp_abi::{Format, Group};
use samp_passes::{Demands, Objective, transform::Rounding};

use super::Args;
use crate::{
    calibrate::{
        MeasureOptions, Thoroughness,
        data::{CalibrationData, DataOptions, DataRecord, Encoder, Fingerprint, load},
    },
    compile::{CompileOptions, Source},
    route::{Records, RouteOptions, Routed, route},
};

/// Decide formats from measurements
#[derive(clap::Args)]
#[command(next_help_heading = "Calibration")]
pub struct CalibrationArgs {
    /// Records to decide every weight's format from measurements on
    ///
    /// JSON lines, each with `text`, or with `messages` (`role` and `content` each) for the checkpoint's chat template, and
    /// optionally with `stratum` (a part of the data that is reported by itself) and `weight` (how likely the record is
    /// drawn within its stratum, relative to the others). A file named .txt holds documents that end at blank lines. A
    /// file named .parquet holds the same keys as columns, where samp was built with the feature `parquet`.
    #[arg(long, value_name = "FILE", conflicts_with = "recipe")]
    pub calib: Option<PathBuf>,
    /// Records that the finished plan is audited on [default: an eighth of each stratum of --calib, which is then not calibrated on]
    #[arg(long, value_name = "FILE", requires = "calib")]
    pub audit: Option<PathBuf>,
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
    /// How thoroughly to measure
    #[arg(long, value_name = "HOW", requires = "calib", default_value = "fast")]
    pub sensitivity: Thoroughness,
    /// Formats to choose from
    #[arg(long, value_name = "FORMAT,…", requires = "calib", value_delimiter = ',', default_values_t = FORMATS)]
    pub formats: Vec<Format>,
    /// A sample of what is served, in any format of --calib: warn of strata whose tokens are unlike it
    #[arg(long, value_name = "FILE", requires = "calib")]
    pub traffic: Option<PathBuf>,
    /// Part of the calibration tokens that each stratum gets, such as code=0.7,json=0.2,prose=0.1 [default: as in --calib]
    ///
    /// Parts count relative to their sum; a stratum left out gets none.
    #[arg(long, value_name = "STRATUM=PART,…", requires = "calib")]
    pub mix: Option<String>,
    /// Most calibration tokens, shared over the strata by the mix
    #[arg(long, value_name = "N", requires = "calib", default_value_t = 131_072)]
    pub calib_tokens: usize,
    /// Most tokens of a record; longer ones, and those over the model's context, are cut to their first tokens
    #[arg(long, value_name = "N", requires = "calib", default_value_t = 2048)]
    pub record_tokens: usize,
    /// Seed of sampling, of what is held out, and of the bootstrap
    #[arg(long, value_name = "N", requires = "calib", default_value_t = 0)]
    pub seed: u64,
}

/// The formats that are tried unless told otherwise, the cheapest first.
const FORMATS: [Format; 8] = [
    Format::Nf4,
    Format::Int4 { group: Group::G64, zero_point: true },
    Format::Int5 { group: Group::G128 },
    Format::Int5 { group: Group::G64 },
    Format::Int6 { group: Group::G128 },
    Format::Fp8E4m3(samp_abi::ScaleAxis::Channel),
    Format::Int8 { outliers: false },
    Format::F16,
];

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

/// Reads and samples the data.
pub fn data(args: &Args, source: &Source) -> anyhow::Result<CalibrationData> {
    let own = &args.calibration;
    let Source::Checkpoint(import) = source else {
        bail!(
            "calibration needs weights: {} has none, give the checkpoint's directory",
            args.model.display()
        );
    };
    let context = args.max_model_len.unwrap_or(import.config.max_position_embeddings);
    let encoder = Encoder::open(&import.files, own.record_tokens.min(context as usize))?;
    let options = DataOptions {
        calibration: own.calib.as_deref().context("expected --calib FILE")?,
        audit: own.audit.as_deref(),
        traffic: own.traffic.as_deref(),
        mix: own.mix.as_deref(),
        tokens: own.calib_tokens,
        seed: own.seed,
    };
    Ok(load(&options, &encoder)?)
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
    let asked = route_options(args, data.fingerprint);
    route(source, options, (&calibration, &held_out), &asked, &work, &say)
}

fn records(records: Vec<DataRecord>) -> Records {
    let (tokens, strata) = records.into_iter().map(|record| (record.tokens, record.stratum)).unzip();
    Records { tokens, strata }
}

/// The folder that holds what survives an interruption of a calibrated compile.
pub fn work_folder(args: &Args) -> Option<PathBuf> {
    let mut work = args.output.as_ref()?.clone().into_os_string();
    work.push(".calibration.partial");
    Some(work.into())
}

fn route_options(args: &Args, calibration: Fingerprint) -> RouteOptions {
    let own = &args.calibration;
    let exact = own.sensitivity == Thoroughness::Exact;
    RouteOptions {
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
        measure: MeasureOptions {
            formats: own.formats.clone(),
            rounding: Rounding::Compensate,
            thoroughness: own.sensitivity,
        },
        judged_tokens: 8192,
        moment_tokens: if exact { usize::MAX } else { 16_384 },
        seed: own.seed,
        calibration,
    }
}
