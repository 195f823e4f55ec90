//! The flags of calibration data and of measurement, which `compile` and `measure` share.

use std::path::PathBuf;

use anyhow::Context;
use samp_abi::{Format, Group, ScaleAxis};
use samp_passes::{QuantOptions, Rounding};

use crate::named_values::one_of;

use samp_compiler::{
    lower::{DEFAULT_QUALITY, QualityPass, quant_options},
    quantize::{
        MeasureOptions, SensitivityMode,
        data::{DEFAULT_RECORD_TOKENS, DEFAULT_TOKENS, DataRequest},
    },
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
    /// file named .parquet holds the same keys as columns, where samp was built with the feature `parquet`. - is JSON
    /// lines on stdin.
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
    #[arg(long, value_name = "N", requires = "calib", default_value_t = DEFAULT_TOKENS)]
    pub calib_tokens: usize,
    /// Most tokens of a record; longer ones, and those over the model's context, are cut to their first tokens
    #[arg(long, value_name = "N", requires = "calib", default_value_t = DEFAULT_RECORD_TOKENS)]
    pub record_tokens: usize,
    /// Seed of sampling, of what is held out, and of the rotation
    #[arg(long, value_name = "N", requires = "calib", default_value_t = 0)]
    pub seed: u64,
}

/// What to measure
#[derive(clap::Args)]
#[command(next_help_heading = "Measurement")]
pub struct MeasureArgs {
    /// How thoroughly to measure
    #[arg(long, value_name = "HOW", requires = "calib", default_value = "fast")]
    pub sensitivity: SensitivityMode,
    /// Formats to choose from
    #[arg(long, value_name = "FORMAT,…", requires = "calib", value_delimiter = ',', default_values_t = FORMATS,
        value_parser = one_of::<Format>(Format::ALL.map(|format| format.name())))]
    pub formats: Vec<Format>,
    /// What is done to weights for quality, and how they are rounded
    ///
    /// Any of fold, equalize, rotate (which needs fold) and correct, and one of nearest, refine and gptq. Counts more than
    /// a recipe's `quality` [default: fold,equalize,correct,gptq]
    #[arg(long, value_name = "PASS,…", requires = "calib", value_delimiter = ',')]
    pub quality: Vec<QualityPass>,
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

impl DataArgs {
    /// The data to calibrate on, if there is any.
    pub fn request(&self) -> Option<DataRequest> {
        Some(DataRequest {
            calibration: self.calib.clone()?,
            audit: self.audit.clone(),
            traffic: self.traffic.clone(),
            mix: self.mix.clone(),
            tokens: self.calib_tokens,
            record_tokens: self.record_tokens,
            seed: self.seed,
        })
    }
}

impl MeasureArgs {
    /// The quality passes that run: those named here, else the recipe's, else all but rotation. Rotations belong to `seed`.
    pub fn quality(&self, seed: u64, recipe: Option<&[QualityPass]>) -> anyhow::Result<QuantOptions> {
        let passes = match self.quality.as_slice() {
            [] => recipe.unwrap_or(&DEFAULT_QUALITY),
            own => own,
        };
        quant_options(passes, seed).context("--quality")
    }

    /// As the measurement takes it, for weights that are rounded so.
    pub fn options(&self, rounding: Rounding) -> MeasureOptions {
        MeasureOptions::new(self.sensitivity, self.formats.clone(), rounding)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        measure: MeasureArgs,
    }

    fn quality(list: &[&str]) -> Result<QuantOptions, String> {
        beside(None, list)
    }

    fn beside(recipe: Option<&[QualityPass]>, list: &[&str]) -> Result<QuantOptions, String> {
        let args = ["samp", "--calib", "a.jsonl", "--seed", "7"].iter().chain(list);
        let flags = Flags::try_parse_from(args).map_err(|error| error.to_string())?;
        flags.measure.quality(flags.data.seed, recipe).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn quality_passes_are_chosen_by_name() {
        assert_eq!(quality(&[]), Ok(QuantOptions::ALL));
        assert_eq!(quality(&["--quality", "nearest"]), Ok(QuantOptions::NONE));
        let rotated = QuantOptions {
            equalize: false,
            rotate: Some(7),
            rounding: Rounding::Refine,
            ..QuantOptions::ALL
        };
        assert_eq!(quality(&["--quality", "fold,rotate,correct,refine"]), Ok(rotated));
    }

    #[test]
    fn a_recipe_counts_less_than_the_command_line() {
        let recipe = [QualityPass::Fold, QualityPass::Nearest];
        let folded = QuantOptions { fold_norms: true, ..QuantOptions::NONE };
        assert_eq!(beside(Some(&recipe), &[]), Ok(folded));
        let refined = QuantOptions { rounding: Rounding::Refine, ..QuantOptions::NONE };
        assert_eq!(beside(Some(&recipe), &["--quality", "refine"]), Ok(refined));
    }

    #[test]
    fn lists_that_say_too_little_or_too_much_are_refused() {
        for (list, why) in [
            ("rotate,gptq", "found rotate alone"),
            ("fold,correct", "found 0"),
            ("gptq,nearest", "found 2"),
            ("fold,gptq,spin", "'spin'"),
            ("", "a value is required"),
        ] {
            let error = quality(&["--quality", list]).unwrap_err();
            assert!(error.contains(why), "{list}: {error}");
        }
    }
}
