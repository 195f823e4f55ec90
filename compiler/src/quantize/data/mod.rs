//! Calibration data: records of a file become a seeded sample of tokens that follows the mix of production, a part held
//! out, and a fingerprint that the plan remembers.
//!
//! [`records`] reads, [`Encoder`] turns records into tokens as serving does, [`sample()`] draws by the [`Mix`], [`overlap()`]
//! and [`traffic`] warn of data that cannot show what it is to show.
//!
//! Never: the model's weights, or a measurement.

mod encode;
mod fingerprint;
mod mix;
mod overlap;
#[cfg(feature = "parquet")]
mod parquet;
pub mod records;
mod sample;
pub mod traffic;

use std::{collections::BTreeMap, path::Path};

use samp_ir::Diagnostic;

pub use encode::{DataRecord, Encoder};
pub use fingerprint::{Fingerprint, StratumSize};
pub use mix::Mix;
pub use overlap::{Overlap, overlap};
pub use sample::{Strata, hold_out, sample, shuffled};

use crate::error_code;

/// Fewer held-out records than this make a bootstrap interval that says little.
const FEW: usize = 30;

/// Which data, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct DataOptions<'a> {
    /// Records to calibrate on.
    pub calibration: &'a Path,
    /// Records to judge on; an eighth of each calibration stratum where there are none.
    pub audit: Option<&'a Path>,
    /// A sample of what is served, to compare with.
    pub traffic: Option<&'a Path>,
    /// The mix as it was written; the data's own where there is none.
    pub mix: Option<&'a str>,
    /// Most calibration tokens.
    pub tokens: usize,
    /// Seed of the sampling.
    pub seed: u64,
}

/// Data ready to calibrate with.
#[derive(Clone, Debug)]
pub struct CalibrationData {
    /// Records to calibrate on: any first part of them has about the mix of the whole.
    pub calibration: Vec<DataRecord>,
    /// Records to judge on.
    pub held_out: Vec<DataRecord>,
    /// What the plan remembers of the calibration records.
    pub fingerprint: Fingerprint,
    /// What someone should know.
    pub warnings: Vec<Diagnostic>,
}

/// Reads, samples and checks the data.
///
/// # Errors
/// Files that cannot be read, lines that are no records, messages that the chat template refuses, a mix that does not fit the
/// data, and fewer records than one to calibrate on and one to hold out.
pub fn load(options: &DataOptions<'_>, encoder: &Encoder) -> Result<CalibrationData, Diagnostic> {
    let file = options.calibration.display().to_string();
    let mix = options.mix.map(Mix::parse).transpose()?;
    let mut warnings = vec![];
    let mut read = |path: &Path| {
        let (records, found) = encoder.encode(path, records::read(path)?)?;
        warnings.extend(found);
        Ok::<_, Diagnostic>(records)
    };
    let mut strata = shuffled(read(options.calibration)?, options.seed);
    let names: Vec<String> = strata.keys().cloned().collect();
    let audit = options.audit.map(&mut read).transpose()?;
    let traffic = options.traffic.map(&mut read).transpose()?;
    let declared = mix.map(|mix| mix.over(&strata, &file)).transpose()?;
    let held_out = audit.unwrap_or_else(|| hold_out(&mut strata, options.seed));
    let (mix, left_out) = declared.unwrap_or_else(|| (Mix::of(&strata), None));
    let (calibration, short) = sample(strata, &mix, options.tokens);
    if calibration.is_empty() || held_out.is_empty() {
        return Err(too_few(calibration.len(), held_out.len(), &file));
    }
    warnings.extend(left_out.into_iter().chain(short.map(|warning| warning.in_file(&file))));
    let judged = options.audit.unwrap_or(options.calibration).display().to_string();
    warnings.extend(overlap::warning(overlap(&calibration, &held_out), held_out.len(), &judged));
    warnings.extend(few_held_out(&names, &held_out, &judged));
    if let (Some(traffic), Some(path)) = (traffic, options.traffic) {
        let place = path.display().to_string();
        warnings.extend(traffic::compare(&calibration, &traffic, encoder, (&place, options.seed)));
    }
    let fingerprint = Fingerprint::of(&calibration, &mix, options.seed, encoder.template());
    Ok(CalibrationData { calibration, held_out, fingerprint, warnings })
}

fn too_few(calibration: usize, held_out: usize, file: &str) -> Diagnostic {
    let message = format!(
        "expected records to calibrate on and records to hold out, found {calibration} and {held_out} of at least 2 tokens"
    );
    Diagnostic::bad_input(error_code::TOO_FEW_RECORDS, message)
        .in_file(file)
        .hint("give more records, more --calib-tokens, or records to judge on with --audit")
}

/// Warns of the strata, of calibration or held out, with fewer held-out records than make an interval.
fn few_held_out(names: &[String], held_out: &[DataRecord], file: &str) -> Option<Diagnostic> {
    let mut counts: BTreeMap<&str, usize> = names.iter().map(|name| (name.as_str(), 0)).collect();
    for record in held_out {
        *counts.entry(&record.stratum).or_default() += 1;
    }
    counts.retain(|_, count| *count < FEW);
    if counts.is_empty() {
        return None;
    }
    let message = format!("strata with fewer than {FEW} held-out records: their intervals say little");
    let finding = Diagnostic::bad_input(error_code::FEW_HELD_OUT, message).warning().in_file(file);
    let notes = counts.into_iter().map(|(name, count)| format!("`{name}`: {count}"));
    Some(notes.fold(finding, Diagnostic::note).hint("give more records, or more to judge on with --audit"))
}

#[cfg(test)]
mod tests;
