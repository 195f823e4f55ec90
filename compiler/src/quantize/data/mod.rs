//! Calibration data: records of a file become a seeded sample of tokens that follows the mix of production, a part held
//! out, and a fingerprint that the plan remembers.
//!
//! `records` reads, `encode` turns records into tokens as serving does, `sample` draws by the `mix`, `overlap` and
//! `traffic` warn of data that cannot show what it is to show. A record is a `SourceRecord` in its file, then a
//! `TokenRecord`; `CalibrationData` holds those that are calibrated on and those held out.
//!
//! Never: the model's weights, or a measurement.

mod encode;
mod fingerprint;
mod mix;
mod overlap;
#[cfg(feature = "parquet")]
mod parquet;
mod records;
mod sample;
mod source_record;
mod traffic;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use samp_ir::Diagnostic;

use self::{
    encode::Encoder,
    fingerprint::fingerprint,
    mix::Mix,
    overlap::overlap,
    sample::{hold_out, sample, shuffled},
};
use crate::{certificate::Fingerprint, error_code, import::CarriedFile};

pub(crate) use encode::TokenRecord;
pub(crate) use records::{parse_line, read_with};
pub(crate) use source_record::{Content, SourceRecord};

/// Most calibration tokens unless told otherwise.
pub const DEFAULT_TOKENS: usize = 131_072;
/// Most tokens of a record unless told otherwise.
pub const DEFAULT_RECORD_TOKENS: usize = 2048;
/// From fewer held-out records than this bounds are wider than those of many.
const FEW: usize = 30;

/// Which data to calibrate on, and how much of it.
#[derive(Clone, Debug)]
pub struct DataRequest {
    /// Records to calibrate on.
    pub calibration: PathBuf,
    /// Records to audit the plan on; an eighth of each calibration stratum where there are none.
    pub audit: Option<PathBuf>,
    /// A sample of what is served, to compare with.
    pub traffic: Option<PathBuf>,
    /// The mix as it was written; the data's own where there is none.
    pub mix: Option<String>,
    /// Most calibration tokens.
    pub tokens: usize,
    /// Most tokens of a record; longer ones are cut to their first tokens.
    pub record_tokens: usize,
    /// Seed of the sampling and of what is held out.
    pub seed: u64,
}

impl DataRequest {
    /// All of a file's records of usual length, as far as there are usually enough.
    pub fn new(calibration: PathBuf) -> DataRequest {
        DataRequest {
            calibration,
            audit: None,
            traffic: None,
            mix: None,
            tokens: DEFAULT_TOKENS,
            record_tokens: DEFAULT_RECORD_TOKENS,
            seed: 0,
        }
    }
}

/// Data ready to calibrate with.
#[derive(Clone, Debug)]
pub(crate) struct CalibrationData {
    /// Records to calibrate on: any first part of them has about the mix of the whole.
    pub calibration: Vec<TokenRecord>,
    /// Records to audit the plan on.
    pub held_out: Vec<TokenRecord>,
    /// What the plan remembers of the calibration records.
    pub fingerprint: Fingerprint,
    /// What someone should know.
    pub warnings: Vec<Diagnostic>,
}

impl CalibrationData {
    /// How many records are held out of each stratum, of those calibrated on and those held out.
    pub(crate) fn held_out_counts(&self) -> BTreeMap<&str, usize> {
        count(self.calibration.iter().map(|record| record.stratum.as_str()), &self.held_out)
    }
}

/// Reads, samples and checks the data, with the tokenizer and chat template among the `files` of a checkpoint, whose
/// vocabulary has `vocab` tokens. Records are cut to `max_context` tokens, too.
///
/// # Errors
/// Files that cannot be read, lines that are no records, texts with tokens that the model does not have, messages that the chat template refuses, a mix that does not fit the
/// data, and fewer records than one to calibrate on and one to hold out.
pub(crate) fn load(
    request: &DataRequest,
    files: &[CarriedFile],
    vocab: u64,
    max_context: u64,
) -> Result<CalibrationData, Diagnostic> {
    let encoder = Encoder::open(files, vocab, request.record_tokens.min(max_context as usize))?;
    sampled(request, &encoder)
}

fn sampled(request: &DataRequest, encoder: &Encoder) -> Result<CalibrationData, Diagnostic> {
    let file = request.calibration.display().to_string();
    let mix = request.mix.as_deref().map(Mix::parse).transpose()?;
    let mut warnings = vec![];
    let mut read = |path: &Path| {
        let (records, found) = encoder.encode(path, records::read(path)?)?;
        warnings.extend(found);
        Ok::<_, Diagnostic>(records)
    };
    let mut strata = shuffled(read(&request.calibration)?, request.seed);
    let names: Vec<String> = strata.keys().cloned().collect();
    let audit = request.audit.as_deref().map(&mut read).transpose()?;
    let traffic = request.traffic.as_deref().map(&mut read).transpose()?;
    let declared = mix.map(|mix| mix.over(&strata, &file)).transpose()?;
    let held_out = audit.unwrap_or_else(|| hold_out(&mut strata, request.seed));
    let (mix, left_out) = declared.unwrap_or_else(|| (Mix::of_data(&strata), None));
    let (calibration, short) = sample(strata, &mix, request.tokens);
    if calibration.is_empty() || held_out.is_empty() {
        return Err(too_few(calibration.len(), held_out.len(), &file));
    }
    warnings.extend(left_out.into_iter().chain(short.map(|warning| warning.in_file(&file))));
    let audited = request.audit.as_ref().unwrap_or(&request.calibration).display().to_string();
    warnings.extend(overlap::warning(overlap(&calibration, &held_out), held_out.len(), &audited));
    warnings.extend(few_held_out(&names, &held_out, &audited));
    if let (Some(traffic), Some(path)) = (traffic, &request.traffic) {
        let place = path.display().to_string();
        warnings.extend(traffic::compare(&calibration, &traffic, encoder, &place, request.seed));
    }
    let fingerprint = fingerprint(&calibration, &mix, request.seed, encoder.template());
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
fn few_held_out(names: &[String], held_out: &[TokenRecord], file: &str) -> Option<Diagnostic> {
    let mut counts = count(names.iter().map(String::as_str), held_out);
    counts.retain(|_, count| *count < FEW);
    if counts.is_empty() {
        return None;
    }
    let message =
        format!("strata with fewer than {FEW} held-out records: what they bound is far above what they show");
    let finding = Diagnostic::bad_input(error_code::FEW_HELD_OUT, message).warning().in_file(file);
    let notes = counts.into_iter().map(|(name, count)| format!("`{name}`: {count}"));
    Some(notes.fold(finding, Diagnostic::note).hint("give more records, or more to judge on with --audit"))
}

/// Held-out records of each stratum, 0 of those of `names` that have none.
fn count<'a>(names: impl Iterator<Item = &'a str>, held_out: &'a [TokenRecord]) -> BTreeMap<&'a str, usize> {
    let mut counts: BTreeMap<&str, usize> = names.map(|name| (name, 0)).collect();
    for record in held_out {
        *counts.entry(&record.stratum).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests;
