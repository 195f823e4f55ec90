//! What one weight costs the model in each format: it alone is exchanged for its rounded values.

use samp_abi::plan::TensorId;
use samp_kernels::{
    encoded::Encoded,
    format::encode,
    quantize::{MatrixRef, output_energy, output_error},
};
use samp_runtime::Silent;

use super::{
    members::Members,
    trial_rounding::{TrialRounding, fitting},
};
use crate::{
    certificate::{Divergence, Sensitivity, WeightProfile},
    quantize::{
        baseline::decoded,
        calibration_tokens::CalibrationTokens,
        divergence::{Baseline, by_stratum},
        error::QuantizeError,
        forward::{Forward, LinearStep, State},
        linear_inputs::LinearInputs,
        measure_options::{MeasureOptions, SensitivityMode},
    },
};

/// Members are measured on one in so many of the batches that tell a divergence: only how they share a loss is asked for.
const MEMBERS_SHARE: usize = 3;

/// A table that no linear reads.
pub(crate) struct TableWeight {
    /// The tensor.
    pub id: TensorId,
    /// Its name.
    pub key: String,
}

/// One weight that is exchanged for its rounded values, and what the model then loses.
pub(super) struct WeightProbe<'a> {
    forward: &'a mut Forward,
    tokens: &'a CalibrationTokens,
    options: &'a MeasureOptions,
    baseline: &'a Baseline,
    states: &'a [State],
}

impl<'a> WeightProbe<'a> {
    /// A probe of a model; `states` say from where each batch is run.
    pub(super) fn new(
        forward: &'a mut Forward,
        tokens: &'a CalibrationTokens,
        options: &'a MeasureOptions,
        states: &'a [State],
    ) -> Result<WeightProbe<'a>, QuantizeError> {
        let baseline = tokens.baseline(forward)?;
        Ok(WeightProbe { forward, tokens, options, baseline, states })
    }

    /// What each format costs a linear and its members.
    pub(super) fn linear(
        &mut self,
        linear: &LinearStep,
        inputs: &LinearInputs,
    ) -> Result<WeightProfile, QuantizeError> {
        let hessian = &inputs.hessian;
        let values = self.forward.weights().matrix(linear.weight);
        let (cols, rows) = (hessian.cols(), values.len() / hessian.cols());
        let source = MatrixRef { cols, values: &values };
        let energy = output_energy(&source, rows, hessian).max(f64::MIN_POSITIVE);
        let statistics = inputs.statistics();
        let outliers = statistics.outlier_columns();
        let options = self.options;
        let trial = TrialRounding { linear, values: &values, hessian, outliers: &outliers, options };
        let mut formats = vec![];
        let mut members = Members::new(linear, &values, hessian);
        for format in trial.formats() {
            let encoded = trial.to(format)?;
            let error = output_error(&source, encoded.view(), hessian) / energy;
            formats.push(self.sensitivity(linear.weight, &encoded, error, &formats)?);
            let (fused, exact) =
                (formats.last().expect("just pushed"), self.options.mode == SensitivityMode::Exact);
            members.measure(&encoded, fused, exact, &mut |values| {
                let batches = self.tokens.for_divergence().len().div_ceil(MEMBERS_SHARE);
                self.divergence(linear.weight, values, batches)
            })?;
        }
        let (inputs, parts) = (Some(statistics), members.profiles);
        let (rows, cols) = (rows as u64, cols as u64);
        Ok(WeightProfile { key: linear.key.clone(), rows, cols, inputs, formats, parts })
    }

    /// What each format costs a table.
    pub(super) fn table(&mut self, table: &TableWeight) -> Result<WeightProfile, QuantizeError> {
        let values = self.forward.weights().matrix(table.id);
        let cols = self.forward.weights().cols(table.id);
        let (rows, source) = (values.len() / cols, MatrixRef { cols, values: &values });
        let mut formats = vec![];
        for format in fitting(self.options, cols, false) {
            let encoded = encode(format, rows, cols, &source, &[])
                .map_err(|source| QuantizeError::Encode { tensor: table.key.clone(), source })?;
            let error = relative_error(&values, &encoded);
            formats.push(self.sensitivity(table.id, &encoded, error, &formats)?);
        }
        let (rows, cols) = (rows as u64, cols as u64);
        Ok(WeightProfile { key: table.key.clone(), rows, cols, inputs: None, formats, parts: vec![] })
    }

    /// The first format is always measured; a fast measurement scales the others from it.
    fn sensitivity(
        &mut self,
        id: TensorId,
        encoded: &Encoded,
        output_error: f64,
        earlier: &[Sensitivity],
    ) -> Result<Sensitivity, QuantizeError> {
        let divergence = match (self.options.mode, earlier.first()) {
            (SensitivityMode::Fast, Some(first)) if first.output_error > 0.0 => {
                first.divergence.scaled(output_error / first.output_error)
            }
            _ => self.divergence(id, &decoded(encoded.view()), self.tokens.for_divergence().len())?,
        };
        Ok(Sensitivity { format: encoded.format, output_error, divergence })
    }

    /// What the model loses over the first of the batches that tell a divergence, with `values` for a tensor.
    fn divergence(
        &mut self,
        id: TensorId,
        values: &[f32],
        batches: usize,
    ) -> Result<Divergence, QuantizeError> {
        let original = self.forward.weights_mut().exchange(id, values);
        let (batches, states) = (&self.tokens.for_divergence()[..batches], &self.states[..batches]);
        let found = self.baseline.divergences(self.forward, batches, states, &Silent);
        self.forward.weights_mut().restore(id, original);
        Ok(by_stratum(&found?, &self.tokens.strata))
    }
}

/// Squared error over the energy.
pub(super) fn relative_error(values: &[f32], encoded: &Encoded) -> f64 {
    let mut decoded = vec![0.0; values.len()];
    samp_kernels::format::decode_rows(encoded.view(), 0, &mut decoded);
    let square = |x: f64| x * x;
    let error: f64 = values.iter().zip(&decoded).map(|(&w, &q)| square(f64::from(w) - f64::from(q))).sum();
    error / values.iter().map(|&w| square(f64::from(w))).sum::<f64>().max(f64::MIN_POSITIVE)
}
