//! What each format of the KV cache loses.

use samp_abi::{Format, ScaleAxis};
use samp_passes::{Constraints, Objective};
use samp_runtime::Progress;

use super::{baseline_model::BaselineModel, journal::Journal};
use crate::{
    certificate::{CacheLoss, Divergence},
    lower::{LowerOptions, Measurements, pipeline::default_kv_format},
    quantize::{
        calibration_tokens::CalibrationTokens,
        divergence::by_stratum,
        error::QuantizeError,
        forward::{Forward, State},
    },
};

/// The formats that the KV cache may have: one, unless it is left open and what the device holds is constrained.
pub(super) fn kv_formats(options: &LowerOptions, constraints: &Constraints) -> Vec<Format> {
    let usual = default_kv_format(options.target);
    let fixed = options.kv.or(options.recipe.recipe.kv);
    let constrained = constraints.device_bytes.is_some() || constraints.objective == Objective::DeviceBytes;
    if fixed.is_none() && constrained {
        let mut formats = vec![usual, Format::F16, Format::Fp8E4m3(ScaleAxis::Tensor)];
        formats.dedup();
        return formats;
    }
    vec![fixed.unwrap_or(usual)]
}

/// A measurement of the KV cache on the tokens that tell a divergence.
pub(super) struct CacheMeasurement<'a> {
    pub model: &'a BaselineModel,
    /// The scales of caches in fp8.
    pub measurements: &'a Measurements,
    pub tokens: &'a CalibrationTokens,
    /// Knows what was measured before, and notes what is measured now.
    pub journal: &'a Journal,
}

impl CacheMeasurement<'_> {
    /// Measures these formats, but for those in the journal; `forward` holds the unquantized weights.
    pub(super) fn run(
        &self,
        forward: &mut Forward,
        formats: &[Format],
        progress: &dyn Progress,
    ) -> Result<Vec<CacheLoss>, QuantizeError> {
        let mut losses = vec![];
        for &format in formats {
            // Other scales of fp8 would lose something else.
            let scales = self.measurements.kv_scales.as_deref().filter(|_| format != Format::F16);
            let loss = if format == Format::F32 {
                // The unquantized model is run with such a cache.
                let divergence = Divergence { measured: true, nats: 0.0, strata: Default::default() };
                CacheLoss { format, divergence }
            } else if let Some(known) = self.journal.cache(format, scales) {
                known.clone()
            } else {
                let loss = CacheLoss { format, divergence: self.divergence(forward, format, progress)? };
                self.journal.note_cache(&loss, scales)?;
                loss
            };
            losses.push(loss);
        }
        Ok(losses)
    }

    fn divergence(
        &self,
        forward: &mut Forward,
        format: Format,
        progress: &dyn Progress,
    ) -> Result<Divergence, QuantizeError> {
        let (baseline, batches) = (self.tokens.baseline(forward)?, self.tokens.for_divergence());
        progress.begin(&format!("measuring the KV cache in {format}"), batches.len() as u64);
        let states = vec![State::default(); batches.len()];
        let run = |forward: &mut Forward| baseline.divergences(forward, batches, &states, progress);
        let found = self.model.with_kv(forward, format, self.measurements, run)?;
        progress.end();
        Ok(by_stratum(&found, &self.tokens.strata))
    }
}
