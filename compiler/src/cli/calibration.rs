//! The flags of calibration data and of measurement, which `compile` and `measure` share.

use std::path::PathBuf;

use anyhow::{Context, bail};
use samp_abi::{Format, Group, ScaleAxis};
use samp_passes::transform::Rounding;

use crate::{
    calibrate::{
        MeasureOptions, Thoroughness,
        data::{CalibrationData, DataOptions, DataRecord, Encoder, load},
    },
    compile::Source,
    route::Records,
};

/// What to calibrate on
#[derive(clap::Args)]
#[command(next_help_heading = "Calibration data")]
pub struct DataArgs {
    /// Records to decide every weight's format from measurements on
    ///
    /// JSON lines, each with `text`, or with `messages` (`role` and `content` each) for the checkpoint's chat template, and
    /// optionally with `stratum` (a part of the data that is reported by itself) and `weight` (how likely the record is
    /// drawn within its stratum, relative to the others). A file named .txt holds documents that end at blank lines. A
    /// file named .parquet holds the same keys as columns, where samp was built with the feature `parquet`.
    #[arg(long, value_name = "FILE")]
    pub calib: Option<PathBuf>,
    /// Records that the finished plan is audited on [default: an eighth of each stratum of --calib, which is then not calibrated on]
    #[arg(long, value_name = "FILE", requires = "calib")]
    pub audit: Option<PathBuf>,
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

/// What to measure
#[derive(clap::Args)]
#[command(next_help_heading = "Measurement")]
pub struct MeasureArgs {
    /// How thoroughly to measure
    #[arg(long, value_name = "HOW", requires = "calib", default_value = "fast")]
    pub sensitivity: Thoroughness,
    /// Formats to choose from
    #[arg(long, value_name = "FORMAT,…", requires = "calib", value_delimiter = ',', default_values_t = FORMATS)]
    pub formats: Vec<Format>,
}

/// The formats that are tried unless told otherwise, the cheapest first.
const FORMATS: [Format; 8] = [
    Format::Nf4,
    Format::Int4 { group: Group::G64, zero_point: true },
    Format::Int5 { group: Group::G128 },
    Format::Int5 { group: Group::G64 },
    Format::Int6 { group: Group::G128 },
    Format::Fp8E4m3(ScaleAxis::Channel),
    Format::Int8 { outliers: false },
    Format::F16,
];

/// Predictions that tell a divergence, at least so many: fast, exact.
const JUDGED_TOKENS: [usize; 2] = [4096, 16_384];
/// Tokens behind an output error.
const MOMENT_TOKENS: [usize; 2] = [16_384, usize::MAX];
/// Tokens that the final weights are rounded under.
const ROUND_TOKENS: [usize; 2] = [49_152, usize::MAX];

impl DataArgs {
    /// Reads and samples the data for a checkpoint; `max_context` is the plan's, the model's own if `None`.
    pub fn load(&self, source: &Source, max_context: Option<u64>) -> anyhow::Result<CalibrationData> {
        let Source::Checkpoint(import) = source else {
            bail!("calibration needs weights: a config.json has none, give the checkpoint's directory");
        };
        let context = max_context.unwrap_or(import.config.max_position_embeddings);
        let encoder = Encoder::open(&import.files, self.record_tokens.min(context as usize))?;
        let options = DataOptions {
            calibration: self.calib.as_deref().context("expected --calib FILE")?,
            audit: self.audit.as_deref(),
            traffic: self.traffic.as_deref(),
            mix: self.mix.as_deref(),
            tokens: self.calib_tokens,
            seed: self.seed,
        };
        Ok(load(&options, &encoder)?)
    }
}

impl MeasureArgs {
    /// Most tokens that the final weights are rounded under.
    pub fn round_tokens(&self) -> usize {
        self.tokens(ROUND_TOKENS)
    }

    /// The number for fast or for exact measurements.
    fn tokens(&self, [fast, exact]: [usize; 2]) -> usize {
        match self.sensitivity {
            Thoroughness::Fast => fast,
            Thoroughness::Exact => exact,
        }
    }

    /// As the measurement takes it.
    pub fn options(&self) -> MeasureOptions {
        MeasureOptions {
            formats: self.formats.clone(),
            rounding: Rounding::Compensate,
            thoroughness: self.sensitivity,
            judged_tokens: self.tokens(JUDGED_TOKENS),
            moment_tokens: self.tokens(MOMENT_TOKENS),
        }
    }
}

/// Sampled records as routing takes them.
pub fn records(records: Vec<DataRecord>) -> Records {
    let (tokens, strata) = records.into_iter().map(|record| (record.tokens, record.stratum)).unzip();
    Records { tokens, strata }
}
