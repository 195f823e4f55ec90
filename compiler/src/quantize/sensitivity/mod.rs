//! Measurement: what each format costs each weight, one weight changed at a time, resumed from the weight's own inputs.

mod inputs;
mod members;
mod profile;
mod reuse;

use std::{cell::OnceCell, collections::BTreeMap};

use samp_abi::{Format, plan::TensorId};
use samp_kernels::{
    encoded::Encoded,
    format::encode,
    quantize::{self, MatrixRef, output_energy, output_error},
};
use samp_passes::transform::{Rounding, Transform};

pub use inputs::LinearInputs;
use members::Members;
pub use profile::{
    Divergence, HeadRange, InputStatistics, MemberProfile, PROFILE_VERSION, Profile, Sensitivity,
    WeightProfile, layer_of, tried,
};

use super::{
    Baseline, CalibrationError, Forward, LinearStep, RecordDivergence, State, TokenBatch, baseline::decoded,
    mean, round, rounded,
};

/// How thorough a measurement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SensitivityMode {
    /// One divergence for each weight, and how the members of a fused linear share it; other formats follow by their output
    /// errors.
    Fast,
    /// A divergence for each weight and format, and how members share each.
    Exact,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct MeasureOptions {
    /// Formats to try on linears whose columns they divide.
    pub formats: Vec<Format>,
    /// How weights are rounded.
    pub rounding: Rounding,
    /// How thorough.
    pub mode: SensitivityMode,
    /// Predictions that tell a divergence, at least so many.
    pub judged_tokens: usize,
    /// Tokens behind an output error.
    pub moment_tokens: usize,
}

/// Calibration tokens as the measurement takes them.
pub struct Tokens<'a> {
    /// All records.
    pub batches: &'a [TokenBatch],
    /// So many of the first batches tell the divergence.
    pub judged: usize,
    /// The stratum of each record.
    pub strata: &'a [String],
    baseline: OnceCell<Baseline>,
}

impl<'a> Tokens<'a> {
    /// As many of the first batches as these options ask for.
    pub fn of(batches: &'a [TokenBatch], options: &MeasureOptions, strata: &'a [String]) -> Tokens<'a> {
        let judged = at_least(batches, options.judged_tokens, TokenBatch::outputs);
        let moments = at_least(batches, options.moment_tokens, |batch| batch.token_ids.len()).max(judged);
        Tokens { batches: &batches[..moments], judged, strata, baseline: OnceCell::new() }
    }

    /// The batches that tell the divergence.
    pub fn judged(&self) -> &'a [TokenBatch] {
        &self.batches[..self.judged]
    }

    /// What the unquantized model says of them, recorded when it is first asked for; `forward` holds its weights.
    pub fn baseline(&self, forward: &mut Forward) -> Result<&Baseline, CalibrationError> {
        if let Some(known) = self.baseline.get() {
            return Ok(known);
        }
        let recorded = Baseline::record(forward, self.judged())?;
        Ok(self.baseline.get_or_init(|| recorded))
    }
}

/// How many of the first batches have at least so many tokens together.
pub fn at_least(batches: &[TokenBatch], most: usize, tokens: fn(&TokenBatch) -> usize) -> usize {
    let sums = batches.iter().scan(0, |sum, batch| {
        *sum += tokens(batch);
        Some(*sum)
    });
    (sums.take_while(|&sum| sum < most).count() + 1).min(batches.len())
}

/// Which weights to measure, and what is known of them from before.
pub struct Wanted<'a> {
    /// Whether to measure the weight of this name.
    pub keys: &'a dyn Fn(&str) -> bool,
    /// What an interrupted run or another one had measured.
    pub known: &'a BTreeMap<String, WeightProfile>,
}

/// A table that no linear reads.
pub struct TableWeight<'a> {
    /// The tensor.
    pub id: TensorId,
    /// Its name.
    pub key: &'a str,
}

/// Measures every table, then every linear, that is wanted and not known; `take` hears of each, in program order. Gives
/// all that are wanted.
pub fn measure(
    forward: &mut Forward,
    tables: &[TableWeight<'_>],
    tokens: &Tokens<'_>,
    options: &MeasureOptions,
    wanted: &Wanted<'_>,
    take: &mut dyn FnMut(&WeightProfile) -> Result<(), CalibrationError>,
) -> Result<Vec<WeightProfile>, CalibrationError> {
    let linears: Vec<LinearStep> =
        forward.linears().into_iter().filter(|linear| (wanted.keys)(&linear.key)).collect();
    let tables: Vec<&TableWeight<'_>> = tables.iter().filter(|table| (wanted.keys)(table.key)).collect();
    let (known, begin) = (wanted.known, vec![State::default(); tokens.judged]);
    let mut measured = vec![];
    let mut finish = |weight: WeightProfile| -> Result<(), CalibrationError> {
        if !known.contains_key(&weight.key) {
            take(&weight)?;
        }
        measured.push(weight);
        Ok(())
    };
    for table in tables {
        finish(match known.get(table.key) {
            Some(weight) => weight.clone(),
            None => WeightProbe::on(forward, tokens, options, &begin)?.table(table)?,
        })?;
    }
    let mut states = vec![State::default(); tokens.batches.len()];
    for linear in linears {
        if let Some(weight) = known.get(&linear.key) {
            finish(weight.clone())?;
            continue;
        }
        let inputs = LinearInputs::collect(forward, tokens.batches, &mut states, &linear)?;
        // With a tied head what the tokens are looked up in changes, too.
        let from = if linear.tied { &begin } else { &states };
        finish(WeightProbe::on(forward, tokens, options, from)?.linear(&linear, &inputs)?)?;
    }
    Ok(measured)
}

/// One weight on trial.
pub(super) struct WeightProbe<'a> {
    forward: &'a mut Forward,
    pub(super) tokens: &'a Tokens<'a>,
    pub(super) options: &'a MeasureOptions,
    baseline: &'a Baseline,
    states: &'a [State],
}

impl<'a> WeightProbe<'a> {
    fn on(
        forward: &'a mut Forward,
        tokens: &'a Tokens<'a>,
        options: &'a MeasureOptions,
        states: &'a [State],
    ) -> Result<WeightProbe<'a>, CalibrationError> {
        let baseline = tokens.baseline(forward)?;
        Ok(WeightProbe { forward, tokens, options, baseline, states })
    }

    fn linear(
        &mut self,
        linear: &LinearStep,
        inputs: &LinearInputs,
    ) -> Result<WeightProfile, CalibrationError> {
        let moment = &inputs.moment;
        let values = self.forward.weights().matrix(linear.weight);
        let (cols, rows) = (moment.cols(), values.len() / moment.cols());
        let source = MatrixRef { cols, values: &values };
        let energy = output_energy(&source, rows, moment).max(f64::MIN_POSITIVE);
        // A table keeps its own values for every token: none makes up for another.
        let how = self.options.rounding.transform().filter(|_| !linear.tied);
        let inputs = inputs.statistics();
        let outliers = inputs.outlier_columns();
        let mut formats = vec![];
        let mut members = Members::of(linear, &values, moment);
        for format in self.formats(cols, !outliers.is_empty()) {
            let factor = round::factor(moment, format);
            let how = rounds(format, how.as_ref());
            let rounding =
                quantize::RoundingSpec { outlier_columns: &outliers, ..quantize::RoundingSpec::to(format) };
            let encoded = rounded(&values, rounding, how, (moment, &factor))
                .map_err(|source| CalibrationError::Encode { tensor: linear.key.clone(), source })?;
            let error = output_error(&source, encoded.view(), moment) / energy;
            formats.push(self.sensitivity(linear.weight, &encoded, error, &formats)?);
            members.measure(self, &encoded, formats.last().expect("just pushed"))?;
        }
        let (inputs, parts) = (Some(inputs), members.profiles);
        let (rows, cols) = (rows as u64, cols as u64);
        Ok(WeightProfile { key: linear.key.clone(), rows, cols, inputs, formats, parts })
    }

    fn table(&mut self, table: &TableWeight<'_>) -> Result<WeightProfile, CalibrationError> {
        let values = self.forward.weights().matrix(table.id);
        let cols = self.forward.weights().cols(table.id);
        let (rows, source) = (values.len() / cols, MatrixRef { cols, values: &values });
        let mut formats = vec![];
        for format in self.formats(cols, false) {
            let encoded = encode(format, rows, cols, &source, &[])
                .map_err(|source| CalibrationError::Encode { tensor: table.key.into(), source })?;
            let error = relative_error(&values, &encoded);
            formats.push(self.sensitivity(table.id, &encoded, error, &formats)?);
        }
        let (rows, cols) = (rows as u64, cols as u64);
        Ok(WeightProfile { key: table.key.into(), rows, cols, inputs: None, formats, parts: vec![] })
    }

    fn formats(&self, cols: usize, outliers: bool) -> Vec<Format> {
        let fits = |format: &Format| (cols as u64).is_multiple_of(format.column_multiple());
        tried(&self.options.formats, outliers).into_iter().filter(fits).collect()
    }

    /// The first format is always measured; a fast measurement scales the others from it.
    fn sensitivity(
        &mut self,
        id: TensorId,
        encoded: &Encoded,
        output_error: f64,
        earlier: &[Sensitivity],
    ) -> Result<Sensitivity, CalibrationError> {
        let divergence = match (self.options.mode, earlier.first()) {
            (SensitivityMode::Fast, Some(first)) if first.output_error > 0.0 => {
                first.divergence.scaled(output_error / first.output_error)
            }
            _ => self.divergence(id, &decoded(encoded.view()), self.tokens.judged)?,
        };
        Ok(Sensitivity { format: encoded.format, output_error, divergence })
    }

    /// What the model loses over some of the judged batches with `values` for a tensor.
    pub(super) fn divergence(
        &mut self,
        id: TensorId,
        values: &[f32],
        judged: usize,
    ) -> Result<Divergence, CalibrationError> {
        let original = self.forward.weights_mut().exchange(id, values);
        let (batches, states) = (&self.tokens.batches[..judged], &self.states[..judged]);
        let found = self.baseline.divergences(self.forward, batches, states);
        self.forward.weights_mut().restore(id, original);
        Ok(by_stratum(&found?, self.tokens.strata))
    }
}

/// Rounding that makes up for errors has nothing to do at 16 bits.
fn rounds(format: Format, how: Option<&Transform>) -> Option<&Transform> {
    how.filter(|_| format.code_bits() < 16)
}

/// Sums records by stratum.
pub fn by_stratum(records: &[RecordDivergence], strata: &[String]) -> Divergence {
    let mut parts: BTreeMap<String, Vec<RecordDivergence>> = BTreeMap::new();
    for record in records {
        parts.entry(strata[record.record].clone()).or_default().push(*record);
    }
    let strata = parts.into_iter().map(|(name, records)| (name, mean(&records))).collect();
    Divergence { measured: true, nats: mean(records), strata }
}

/// Squared error over the energy.
fn relative_error(values: &[f32], encoded: &Encoded) -> f64 {
    let mut decoded = vec![0.0; values.len()];
    samp_kernels::format::decode_rows(encoded.view(), 0, &mut decoded);
    let square = |x: f64| x * x;
    let error: f64 = values.iter().zip(&decoded).map(|(&w, &q)| square(f64::from(w) - f64::from(q))).sum();
    error / values.iter().map(|&w| square(f64::from(w))).sum::<f64>().max(f64::MIN_POSITIVE)
}
