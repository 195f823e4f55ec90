//! The flags of a calibrated compile, and the way from them to a routed plan.

use std::{fs, path::PathBuf, str::FromStr};

use anyhow::{Context, bail, ensure};
use samp_abi::{Format, Group};
use samp_passes::{Demands, Objective, transform::Rounding};
use samp_runtime::{AddSpecial, Tokenizer};

use super::Args;
use crate::{
    calibrate::{MeasureOptions, Thoroughness},
    compile::{CompileOptions, Source},
    eval::{Record, Task, read_records},
    import::Import,
    route::{Random, Records, RouteOptions, Routed, route},
};

/// Decide formats from measurements
#[derive(clap::Args)]
#[command(next_help_heading = "Calibration")]
pub struct CalibrationArgs {
    /// JSON lines with `text` and optionally `stratum`: decide every weight's format from measurements on them
    #[arg(long, value_name = "FILE", conflicts_with = "recipe")]
    pub calib: Option<PathBuf>,
    /// Records that the finished plan is audited on [default: an eighth of --calib, which is then not calibrated on]
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
    /// Most calibration tokens
    #[arg(long, value_name = "N", requires = "calib", default_value_t = 131_072)]
    pub calib_tokens: usize,
    /// Most tokens of a record
    #[arg(long, value_name = "N", requires = "calib", default_value_t = 2048)]
    pub record_tokens: usize,
    /// Seed of sampling and of the bootstrap
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

/// Reads the data and routes.
pub fn routed(args: &Args, source: &Source, options: &CompileOptions) -> anyhow::Result<Routed> {
    let own = &args.calibration;
    let calib = own.calib.as_ref().context("expected --calib FILE")?;
    let Source::Checkpoint(import) = source else {
        bail!(
            "calibration needs weights: {} has none, give the checkpoint's directory",
            args.model.display()
        );
    };
    let tokenizer = tokenizer(import)?;
    let mut records = tokens(read_records(calib)?, &tokenizer, own.record_tokens)?;
    shuffle(&mut records, own.seed);
    let held_out = match &own.audit {
        Some(audit) => tokens(read_records(audit)?, &tokenizer, own.record_tokens)?,
        None => split_off(&mut records),
    };
    cut(&mut records, own.calib_tokens);
    ensure!(!records.tokens.is_empty() && !held_out.tokens.is_empty(), "{}: too few texts", calib.display());
    let out = args.output.as_ref().context("expected -o PLAN")?;
    let mut work = out.clone().into_os_string();
    work.push(".calibration.partial");
    let work = PathBuf::from(work);
    fs::create_dir_all(&work).with_context(|| format!("making {}", work.display()))?;
    let quiet = args.quiet;
    let say = |text: &str| {
        if !quiet {
            eprintln!("{text}");
        }
    };
    route(source, options, (&records, &held_out), &route_options(args), &work, &say)
}

/// The folder that holds what survives an interruption of a calibrated compile.
pub fn work_folder(args: &Args) -> Option<PathBuf> {
    let mut work = args.output.as_ref()?.clone().into_os_string();
    work.push(".calibration.partial");
    Some(work.into())
}

fn route_options(args: &Args) -> RouteOptions {
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
    }
}

fn tokenizer(import: &Import) -> anyhow::Result<Tokenizer> {
    let file =
        |name: &str| import.files.iter().find(|f| f.name == name).map(|f| fs::read(&f.path)).transpose();
    let json =
        file("tokenizer.json")?.context("the checkpoint has no tokenizer.json, which calibration needs")?;
    Ok(Tokenizer::from_bytes(&json)?)
}

fn tokens(records: Vec<Record>, tokenizer: &Tokenizer, most: usize) -> anyhow::Result<Records> {
    let mut all = Records::default();
    for record in records {
        let Task::Text(text) = record.task else { continue };
        let mut ids = tokenizer.encode(&text, AddSpecial::Yes)?;
        ids.truncate(most);
        if ids.len() > 1 {
            all.tokens.push(ids);
            all.strata.push(record.stratum);
        }
    }
    Ok(all)
}

/// Fisher–Yates.
fn shuffle(records: &mut Records, seed: u64) {
    let mut random = Random(seed);
    for last in (1..records.tokens.len()).rev() {
        let other = random.below(last + 1);
        records.tokens.swap(last, other);
        records.strata.swap(last, other);
    }
}

/// Every eighth record.
fn split_off(records: &mut Records) -> Records {
    let mut parts = [Records::default(), Records::default()];
    let pairs = std::mem::take(&mut records.tokens).into_iter().zip(std::mem::take(&mut records.strata));
    for (index, (tokens, stratum)) in pairs.enumerate() {
        let part = &mut parts[usize::from(index.is_multiple_of(8))];
        part.tokens.push(tokens);
        part.strata.push(stratum);
    }
    let [kept, held_out] = parts;
    *records = kept;
    held_out
}

/// The first records, up to so many tokens.
fn cut(records: &mut Records, most: usize) {
    let mut sum = 0;
    let within = records.tokens.iter().take_while(|tokens| {
        sum += tokens.len();
        sum <= most
    });
    let count = within.count().max(1);
    records.tokens.truncate(count);
    records.strata.truncate(count);
}
